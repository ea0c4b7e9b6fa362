//! A client does not choose the facts about itself.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, CaveatKind, CertificateThumbprint, ClientAddress, ClientCertificate, Grant,
    KeyRing, TrustedProxies,
};

use crate::{at_once, filled, key};

const CERTIFICATE: &[u8] = b"the certificate of alice";

struct World {
    ring: KeyRing,
    /// A key for the network 192.0.2.0/24, and one for the certificate.
    keys: [HeaderValue; 2],
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let ring = KeyRing::builder("acme");
    let ring = ring.grantable_caveats([CaveatKind::Net, CaveatKind::Confirmation]);
    let ring = ring.build(MemoryStore::new()).unwrap();
    let thumbprint = CertificateThumbprint::of_der(CERTIFICATE);
    let keys = [
        "net=192.0.2.0/24".to_owned(),
        format!("cnf=x5t#S256:{thumbprint}"),
    ];
    let keys = keys.map(|caveat| {
        let grant = Grant::new("alice").caveats([caveat]);
        HeaderValue::try_from(key(&ring, grant)).unwrap()
    });
    World { ring, keys }
});

fn proxy(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().copied()
}

/// Values of `X-Forwarded-For`, `Forwarded` and `Client-Cert`, a line for each, from a proxy that is trusted. In it
/// `$CERT` is the certificate.
///
/// A key for a network is accepted only if the last address is in it; a key for a certificate only if it is the one
/// value.
///
/// # Panics
///
/// If that does not hold.
pub fn clients(input: &[u8]) {
    let certificate = STANDARD.encode(CERTIFICATE);
    let input = filled(input, &[("$CERT", &certificate)]);
    let lines = input
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let values: Vec<HeaderValue> = lines
        .filter_map(|it| HeaderValue::from_bytes(it).ok())
        .collect();
    let last = values
        .last()
        .map(HeaderValue::as_bytes)
        .and_then(last_element);

    let behind = |proxies| ClientAddress::peer(proxy).behind(proxies);
    let layer = || {
        let certificate = ClientCertificate::from_proxy(proxy, ["10.0.0.0/24"]).unwrap();
        ApiKeyLayer::new(WORLD.ring.clone()).client_certificate(certificate)
    };
    let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/24"]).unwrap();
    if accepts(
        &layer().client_address(behind(proxies)),
        0,
        "x-forwarded-for",
        &values,
    ) {
        assert!(last.and_then(address).is_some_and(is_inside), "{values:?}");
    }
    let proxies = TrustedProxies::forwarded(["10.0.0.0/24"]).unwrap();
    let layer = layer().client_address(behind(proxies));
    if accepts(&layer, 0, "forwarded", &values) {
        let mut named = last
            .into_iter()
            .flat_map(|it| it.split(';'))
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then_some(value)
            });
        assert!(
            named.next().and_then(address).is_some_and(is_inside),
            "{values:?}"
        );
        assert_eq!(named.next(), None, "{values:?}");
    }
    if accepts(&layer, 1, "client-cert", &values) {
        assert_eq!(values, [format!(":{certificate}:")]);
    }
}

fn accepts(layer: &ApiKeyLayer, key: usize, name: &'static str, values: &[HeaderValue]) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", WORLD.keys[key].clone());
    for value in values {
        headers.append(name, value.clone());
    }
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.headers_mut() = headers;
    let proxy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    request.extensions_mut().insert(proxy);
    let inner = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let Ok(response) = at_once(layer.layer(inner).oneshot(request));
    response.status() == StatusCode::OK
}

/// The text after the last comma outside of quotes; none if the quotes do not match.
fn last_element(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?;
    let (mut quoted, mut start) = (false, 0);
    for (at, character) in value.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => start = at + 1,
            _ => {}
        }
    }
    (!quoted).then_some(&value[start..])
}

/// An address with or without quotes, brackets and a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    text.parse()
        .or_else(|_| text.split(':').next().unwrap_or_default().parse())
        .ok()
}

fn is_inside(address: IpAddr) -> bool {
    matches!(address.to_canonical(), IpAddr::V4(it) if it.octets()[..3] == [192, 0, 2])
}

//! A link or a public id gives no power: if a stranger makes one up, no valid key is refused and no
//! event takes it for proven.

use http::header::{AUTHORIZATION, COOKIE, REFERER};
use http::{HeaderValue, Request};
use tower_api_key::{ApiKeyLayer, EventKind, KeyId};

use crate::events::about;
use crate::keys::checksum;
use crate::misplaced::{FORWARDED, Scene, in_referer};
use crate::outcome::{IN_REFERER, INVALID, MISSING, PASSES, check};
use crate::support::{Inner, X_API_KEY, request, send, with_key};

/// A text that names this id, with a right checksum and a secret that was never issued.
fn forged(id: KeyId, filler: char) -> String {
    let body = format!("acme_{id}_{}", String::from(filler).repeat(26));
    format!("{body}{}", checksum(body.as_bytes()))
}

#[tokio::test]
async fn r34_a_planted_link_turns_no_valid_key_off_and_goes_on_hidden() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let made_up = forged("AAAAAAAAAAAA".parse().unwrap(), 'A');
    for planted in [
        made_up.as_str(),
        scene.stray(),
        &forged(scene.proper.record().id(), 'B'),
    ] {
        let link = || request([(REFERER, format!("https://app.test/?x={planted}"))]);
        let claimed = planted[5..17].parse().unwrap();
        let proper = scene.proper.record();
        for layer in [
            own.clone(),
            own.clone().optional(),
            own.clone().forward_credential(),
        ] {
            let (_, inner) = check(&layer, scene.beside_the_proper(link()), PASSES).await;
            let referer = inner.last().headers[REFERER].clone();
            assert!(referer.is_sensitive());
            assert_eq!(referer, format!("https://app.test/?x={planted}"));
            assert_eq!(
                scene.recorder.take(),
                [in_referer(claimed), about(EventKind::Authenticated, proper)]
            );
        }
        check(&own, link(), MISSING).await;
        check(&own, with_and(link(), "nonsense"), INVALID).await;
        let (_, inner) = check(&own.clone().optional(), link(), PASSES).await;
        assert!(inner.last().headers[REFERER].is_sensitive());
        scene.recorder.take();
    }
    // If the value is in no place that could hold a key, the header stays as it is.
    let plain = request([(REFERER, "https://app.test/")]);
    let (_, inner) = check(&own, scene.beside_the_proper(plain), PASSES).await;
    assert!(!inner.last().headers[REFERER].is_sensitive());
}

fn with_and(mut request: Request<()>, key: &str) -> Request<()> {
    let value = HeaderValue::from_str(key).unwrap();
    request.headers_mut().insert(X_API_KEY, value);
    request
}

/// The id of a key is public: naming it must not look like having the key.
#[tokio::test]
async fn r34_a_forged_id_raises_no_event_that_looks_proven() {
    let scene = Scene::new().await;
    let optional = ApiKeyLayer::new(scene.ring.clone()).optional();
    let victim = scene.proper.record().id();
    let forged = forged(victim, 'A');
    let mut in_uri = Request::new(());
    *in_uri.uri_mut() = format!("/?{forged}").parse().unwrap();
    let requests = [
        in_uri,
        request([(REFERER, &forged)]),
        request([(AUTHORIZATION, &forged)]),
        request([(&FORWARDED[1], &forged)]),
        request([(COOKIE, &forged)]),
        with_key(&forged),
        scene.beside_the_proper(request([(REFERER, &forged)])),
    ];
    for request in requests {
        let sent = format!("{request:?}");
        let presented = request.headers().get(X_API_KEY).cloned();
        let inner = Inner::new();
        let service = tower::Layer::layer(&optional, inner);
        let response = send(&service, request).await;
        if let Some(rejection) = &response.rejection {
            assert_eq!(rejection.key_id(), None, "{sent}");
            assert_eq!(rejection.claimed_key_id(), Some(victim), "{sent}");
        }
        let events = scene.recorder.take();
        assert!(!events.is_empty(), "{sent}");
        for told in events {
            if told.kind == EventKind::Authenticated {
                assert_eq!(presented.as_ref().unwrap(), scene.proper.secret().expose());
                continue;
            }
            assert_eq!((told.key_id, told.claimed), (None, Some(victim)), "{sent}");
            assert_eq!(told.subject, None, "{sent}");
        }
    }
    let error = scene.ring.verify(forged.as_bytes()).await.unwrap_err();
    assert_eq!(error.key_id(), None);
    assert_eq!(error.claimed_key_id(), Some(victim));
    check(&optional, with_key(scene.proper.secret().expose()), PASSES).await;
}

/// With one request, a stranger can neither write a log of any length nor hide a key behind others.
#[tokio::test]
async fn r34_a_request_of_many_keys_is_reported_within_bounds() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let many: String = (10..60)
        .map(|at| forged(format!("AAAAAAAAAA{at}").parse().unwrap(), 'A'))
        .collect();
    let key = scene.stray();
    let link = request([(REFERER, format!("https://app.test/?{many}{key}"))]);
    check(&own, scene.beside_the_proper(link.clone()), PASSES).await;
    assert_eq!(scene.recorder.take().len(), 8 + 1);
    let (response, _) = check(&own, with_and(link, key), IN_REFERER).await;
    assert_eq!(
        response.rejection.unwrap().claimed_key_id(),
        Some(scene.id())
    );
    assert_eq!(scene.recorder.take().len(), 8 + 2);
}

//! A URL as settings. Each setting is obeyed or refused: sqlx would pass over an unknown one, and log it
//! with its value.

use std::env;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::error::{because, wrong};
use super::password_file;

/// The form of a URL.
const FORM: &str = "write the URL as postgres://role:password@host:port/database";

/// Settings that other programs support. Each with its replacement.
const UNSUPPORTED: [(&str, &str); 20] = [
    ("channel_binding", USE_VERIFY_FULL),
    (
        "connect_timeout",
        "use PostgresOptions::acquire_timeout instead",
    ),
    ("gssencmode", NOT_SUPPORTED),
    ("hostaddr", "write the address as the host"),
    ("load_balance_hosts", ONE_SERVER),
    ("options", "write each as options[name]=value"),
    (
        "passfile",
        "use the environment variable PGPASSFILE instead",
    ),
    ("require_auth", USE_VERIFY_FULL),
    ("requiressl", "write sslmode=verify-full"),
    (
        "schema",
        "write options[search_path]=..., or use PostgresOptions::schema",
    ),
    ("service", NOT_SUPPORTED),
    ("ssl", "write sslmode=verify-full"),
    ("sslcrl", NOT_SUPPORTED),
    ("sslcrldir", NOT_SUPPORTED),
    ("sslnegotiation", NOT_SUPPORTED),
    ("sslpassword", NOT_SUPPORTED),
    (
        "ssl_min_protocol_version",
        "leave it out: TLS is always version 1.2 or later",
    ),
    ("statement-cache-capacity", STATEMENTS),
    ("target_session_attrs", ONE_SERVER),
    ("tls", "write sslmode=verify-full"),
];

const NOT_SUPPORTED: &str = "this store does not support it";
const USE_VERIFY_FULL: &str =
    "this store does not support it; sslmode=verify-full proves that the server is the right one";
const ONE_SERVER: &str = "leave it out: a URL names one server, and a standby is refused anyway";
const STATEMENTS: &str = "leave it out: without the cache, each look-up takes memory of the \
                          server; a pooler needs session pooling, or PgBouncer 1.21 with \
                          max_prepared_statements";

/// The settings that this store supports, in these spellings only.
const SETTINGS: [&str; 10] = [
    "application_name",
    "dbname",
    "host",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Variables that libpq obeys and this store does not. These values have no effect.
const ENVIRONMENT: [(&str, &[&str]); 12] = [
    ("PGCHANNELBINDING", &["disable", "prefer"]),
    ("PGGSSENCMODE", &["disable", "prefer"]),
    ("PGREQUIREAUTH", &[]),
    ("PGREQUIREPEER", &[]),
    ("PGREQUIRESSL", &["0"]),
    ("PGSERVICE", &[]),
    ("PGSSLCERTMODE", &["allow"]),
    ("PGSSLCRL", &[]),
    ("PGSSLCRLDIR", &[]),
    ("PGSSLMINPROTOCOLVERSION", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("PGSSLNEGOTIATION", &["postgres"]),
    ("PGTARGETSESSIONATTRS", &["any"]),
];

/// Where to connect, and the settings that the session should have.
pub(super) struct Url {
    pub(super) options: PgConnectOptions,
    /// The `search_path` in the URL, to find out whether a pooler has passed it over.
    pub(super) search_path: Option<String>,
}

/// Reads a URL, and the environment for settings that it leaves out. No error repeats a value.
pub(super) fn parse(url: &str) -> Result<Url, StoreError> {
    parse_with(url, &|name| {
        env::var(name).ok().filter(|value| !value.is_empty())
    })
}

fn parse_with(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Url, StoreError> {
    let parts = Parts::of(url)?;
    check_environment(variable)?;
    let get = |name: &str| parts.get(name);
    // It reads the environment, and nothing else.
    let mut options = PgConnectOptions::new_without_pgpass()
        .disable_statement_logging()
        // No column is a float, and PgBouncer refuses the parameter by default.
        .extra_float_digits(None);
    if let Some(host) = get("host") {
        options = options.host(host);
    } else if options.get_host().contains(',') {
        return Err(wrong("the environment variable PGHOST", "write one host"));
    }
    if let Some(port) = get("port") {
        options = options.port(
            port.parse()
                .map_err(|_| bad("the port is not a number up to 65535"))?,
        );
    }
    if let Some(user) = get("user") {
        options = options.username(user);
    }
    if let Some(database) = get("dbname") {
        options = options.database(database);
    }
    if let Some(name) = get("application_name") {
        options = options.application_name(name);
    }
    options = tls(options, &parts, variable)?;
    let given = get("password").map(str::to_owned);
    match given.or_else(|| variable("PGPASSWORD")) {
        Some(password) => options = options.password(&password),
        None => {
            if let Some(password) = password_file::password(&options, variable)? {
                options = options.password(&password);
            }
        }
    }
    let server: Vec<_> = parts.server_settings().collect();
    let search_path = server.iter().find(|(name, _)| *name == "search_path");
    Ok(Url {
        search_path: search_path.map(|(_, value)| (*value).to_owned()),
        options: if server.is_empty() {
            options
        } else {
            options.options(server)
        },
    })
}

fn tls(
    options: PgConnectOptions,
    parts: &Parts,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PgConnectOptions, StoreError> {
    let from_environment = variable("PGSSLMODE");
    let (place, mode) = match (parts.get("sslmode"), &from_environment) {
        (Some(mode), _) => ("the URL's setting sslmode", mode),
        (None, Some(mode)) => ("the environment variable PGSSLMODE", mode.as_str()),
        (None, None) => ("the URL's setting sslmode", "prefer"),
    };
    let mode = match mode {
        "disable" => PgSslMode::Disable,
        "prefer" => PgSslMode::Prefer,
        "require" => PgSslMode::Require,
        "verify-ca" => PgSslMode::VerifyCa,
        "verify-full" => PgSslMode::VerifyFull,
        _ => {
            let values = "write disable, prefer, require, verify-ca or verify-full";
            return Err(wrong(place, values));
        }
    };
    let is_given = |setting, name| parts.get(setting).is_some() || variable(name).is_some();
    let verifies = matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    if !verifies && is_given("sslrootcert", "PGSSLROOTCERT") {
        let advice = "add sslmode=verify-full: without it no certificate is verified";
        return Err(wrong("the setting sslrootcert", advice));
    }
    let certificate = is_given("sslcert", "PGSSLCERT");
    if certificate != is_given("sslkey", "PGSSLKEY") {
        return Err(wrong(
            "the settings sslcert and sslkey",
            "give both or neither",
        ));
    }
    if certificate && matches!(mode, PgSslMode::Disable | PgSslMode::Prefer) {
        let advice = "add sslmode=verify-full, or require: without it TLS may not be used";
        return Err(wrong("the setting sslcert", advice));
    }
    let mut options = options.ssl_mode(mode);
    if let Some(path) = parts.get("sslrootcert") {
        options = options.ssl_root_cert(path);
    }
    if let Some(path) = parts.get("sslcert") {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = parts.get("sslkey") {
        options = options.ssl_client_key(path);
    }
    Ok(options)
}

fn check_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<(), StoreError> {
    for (name, harmless) in ENVIRONMENT {
        if variable(name).is_some_and(|value| !harmless.contains(&value.as_str())) {
            let place = format!("the environment variable {name}");
            return Err(wrong(&place, "unset it: this store does not support it"));
        }
    }
    if variable("PGPORT").is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(wrong(
            "the environment variable PGPORT",
            "write a number up to 65535",
        ));
    }
    Ok(())
}

/// A URL, taken apart: every setting once, decoded.
struct Parts(Vec<(String, String)>);

impl Parts {
    fn of(url: &str) -> Result<Self, StoreError> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or_else(|| bad("it does not begin with postgres://"))?;
        if rest.contains(|character: char| character.is_control() || character == ' ') {
            return Err(bad("it holds a space or a control character"));
        }
        if rest.contains('#') {
            return Err(bad("write a # as %23"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Such a URL has a `?` in its password, and the text after it may be the rest of the password.
        if query.contains('@') {
            return Err(bad(
                "write a ? in a password as %3F, and an @ in a setting as %40",
            ));
        }
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        if database.contains(['/', '@']) {
            return Err(bad(
                "write a / in a password or a name as %2F, and an @ as %40",
            ));
        }
        let mut parts = Self(Vec::new());
        let (credentials, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        let (host, port) = split_address(address)?;
        let named = [
            ("user", Some(user)),
            ("host", Some(host)),
            ("dbname", Some(database)),
        ];
        for (name, value) in named
            .into_iter()
            .chain([("password", password), ("port", port)])
        {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                parts.put(name.to_owned(), decoded(value)?)?;
            }
        }
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| bad("a setting has no value; write a ? in a password as %3F"))?;
            let (name, value) = (decoded(name)?, decoded(value)?);
            known(&name)?;
            parts.put(name, value)?;
        }
        match parts.get("host") {
            Some(host) if host.contains(',') => Err(bad("it names several hosts; name one")),
            Some(host) if host.contains(['@', '?', '#', '\\']) => {
                Err(bad("the host is not a name"))
            }
            _ => Ok(parts),
        }
    }

    fn put(&mut self, name: String, value: String) -> Result<(), StoreError> {
        if value.contains('\0') {
            return Err(bad("it holds the character NUL"));
        }
        if self.get(&name).is_some() {
            let place = format!("the URL's setting {name}");
            return Err(wrong(&place, "write it once"));
        }
        self.0.push((name, value));
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The settings in `options[...]`.
    fn server_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((server_setting(name)?, value.as_str())))
    }
}

fn split_address(address: &str) -> Result<(&str, Option<&str>), StoreError> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| bad("an IPv6 address has no closing ]"))?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| bad("the text in brackets is not an IPv6 address"))?;
        let port = match port {
            "" => None,
            port => Some(
                port.strip_prefix(':')
                    .ok_or_else(|| bad("write a colon before the port"))?,
            ),
        };
        return Ok((host, port));
    }
    if address.contains(',') {
        return Err(bad("it names several hosts; name one"));
    }
    match address.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(bad("write an IPv6 address in brackets")),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((address, None)),
    }
}

/// The name of the server's setting in `options[name]`.
fn server_setting(name: &str) -> Option<&str> {
    let name = name.strip_prefix("options[")?.strip_suffix(']')?;
    let is_word =
        |character: char| character.is_ascii_lowercase() || "_.0123456789".contains(character);
    (!name.is_empty() && name.chars().all(is_word)).then_some(name)
}

fn known(name: &str) -> Result<(), StoreError> {
    if SETTINGS.contains(&name) || server_setting(name).is_some() {
        return Ok(());
    }
    // A name of another kind may be part of a password.
    let is_name = |character: char| character.is_ascii_alphabetic() || "_-[]".contains(character);
    if name.len() > 40 || !name.chars().all(is_name) {
        return Err(bad(
            "a setting has an invalid name; write a ? in a password as %3F",
        ));
    }
    let place = format!("the URL's setting {name}");
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let meant = SETTINGS
        .into_iter()
        .find(|setting| plain(setting) == plain(name));
    if let Some(setting) = meant {
        return Err(wrong(&place, format!("write {setting}")));
    }
    let unsupported = UNSUPPORTED
        .iter()
        .find(|(other, _)| plain(other) == plain(name));
    let advice = match unsupported {
        Some((_, advice)) => *advice,
        None if plain(name) == "sslca" => "write sslrootcert",
        None => "leave it out: this store does not know it",
    };
    Err(wrong(&place, advice))
}

/// Without its escapes, all of which must be whole.
pub(super) fn decoded(text: &str) -> Result<String, StoreError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let value = value.and_then(|value| u8::try_from(value).ok());
        bytes.push(value.ok_or_else(|| bad("write a % as %25"))?);
    }
    String::from_utf8(bytes).map_err(|_| bad("the escaped bytes are not UTF-8"))
}

fn bad(cause: &str) -> StoreError {
    because(StoreErrorKind::Unavailable, format!("{FORM}: {cause}"))
}

#[cfg(test)]
mod tests;

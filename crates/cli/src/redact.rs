//! Passwords in what is repeated to people: in URLs above all, wherever they stand.

use std::env;

use tower_api_key::redact_keys;

/// Where the name of the store is.
const STORE: &str = "TOWER_API_KEY_STORE";

const SECRET: &str = "(password)";

/// Names of settings whose value is a secret, as parts of them.
const SECRET_NAMES: [&str; 5] = ["pass", "pwd", "secret", "token", "pasw"];

/// A text without keys and passwords.
///
/// The arguments are looked for as a whole, because a password may hold white space and quotes.
pub(crate) fn redact(text: &str) -> String {
    let mut text = text.to_owned();
    let arguments = env::args_os().skip(1).chain(env::var_os(STORE));
    for argument in arguments {
        let argument = argument.to_string_lossy();
        // What is repeated may be the value alone, of `--option=` or `file:`.
        let parts = argument
            .match_indices(['=', ':'])
            .map(|(at, _)| &argument[at + 1..]);
        let parts = std::iter::once(&*argument).chain(parts);
        for part in parts.take_while(|part| !part.starts_with("//")) {
            if let Some(redacted) = without_password(part) {
                text = text.replace(part, &redacted);
                // As the name of a file it has one slash for several.
                text = text.replace(&single_slashes(part), &redacted);
            }
        }
    }
    let words = text.split_inclusive(char::is_whitespace);
    let words: String = words
        .map(|word| without_password(word).unwrap_or_else(|| word.to_owned()))
        .collect();
    redact_keys(&words).into_owned()
}

fn single_slashes(text: &str) -> String {
    let mut single = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '/' || !single.ends_with('/') {
            single.push(character);
        }
    }
    single
}

/// A URL or a setting without its password, or `None` if it has none.
fn without_password(text: &str) -> Option<String> {
    let mut redacted = text.to_owned();
    let start = text.find("://").map(|at| at + 3);
    if let Some(start) = start {
        redact_query(&mut redacted, start);
        redact_port(&mut redacted, start);
    } else if let Some(at) = text.find("postgres")
        && let Some(colon) = text[at..].find(':').map(|colon| at + colon)
        && text[at..colon].chars().all(char::is_alphabetic)
        && text[colon + 1..].starts_with(char::is_alphanumeric)
    {
        // `postgres:alice:hunter2` is no URL, and has a password all the same.
        redacted.replace_range(colon + 1..text.trim_end_matches(is_mark).len(), SECRET);
    }
    redact_user(&mut redacted, start.unwrap_or_default());
    redact_settings(&mut redacted);
    (redacted != text).then_some(redacted)
}

/// What stands between a `:` and the last `@`.
fn redact_user(text: &mut String, start: usize) {
    if let Some(end) = text.rfind('@').filter(|end| *end >= start)
        && let Some(colon) = text[start..end].find(':')
    {
        text.replace_range(start + colon + 1..end, SECRET);
    }
}

/// What stands in the place of a port and is none: the password, if `@` and the host are left out.
fn redact_port(text: &mut String, start: usize) {
    let host = text[start..].rfind('@').map_or(start, |at| start + at + 1);
    // An address of IPv6 has colons of its own.
    let host = text[host..].find(']').map_or(host, |at| host + at + 1);
    let end = text[host..].find('/').map_or(text.len(), |at| host + at);
    let end = host + text[host..end].trim_end_matches(is_mark).len();
    if let Some(colon) = text[host..end].find(':').map(|at| host + at)
        && !text[colon + 1..end]
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    {
        text.replace_range(colon + 1..end, SECRET);
    }
}

/// The values of a query, and settings without a name; none is worth a look.
fn redact_query(text: &mut String, start: usize) {
    let Some(query) = text[start..].find('?').map(|at| start + at + 1) else {
        return;
    };
    // A `?` of a password: what stands before the `@` goes as a whole.
    if text[query..].contains('@') {
        return;
    }
    let end = text.trim_end_matches(is_mark).len().max(query);
    let settings = text[query..end].split('&').map(|setting| {
        let name = setting.split_once('=').map(|(name, _)| name);
        name.map_or_else(|| SECRET.to_owned(), |name| format!("{name}={SECRET}"))
    });
    let settings = settings.collect::<Vec<_>>().join("&");
    text.replace_range(query..end, &settings);
}

/// `password=hunter2`, as in the connection strings of libpq.
fn redact_settings(text: &mut String) {
    let mut from = 0;
    while let Some(at) = text[from..].find('=').map(|at| from + at) {
        from = at + 1;
        let name = text[..at].rsplit(|it: char| !it.is_alphanumeric() && it != '_');
        let name = name.take(1).collect::<String>().to_lowercase();
        let rest = &text[from..];
        if !rest.starts_with(SECRET) && SECRET_NAMES.iter().any(|part| name.contains(part)) {
            let length = rest
                .find(|it: char| it == '&' || it.is_whitespace())
                .unwrap_or(rest.len());
            let length = rest[..length].trim_end_matches(is_mark).len();
            text.replace_range(from..from + length, SECRET);
        }
    }
}

/// What stands behind a URL in a sentence.
fn is_mark(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\'' | '"' | '`' | ';' | ',' | '.' | ')' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r06_passwords_are_redacted_wherever_they_stand() {
        for (text, redacted) in [
            (
                "unexpected argument 'postgres://alice:hunter2@host:5432/keys' found",
                "unexpected argument 'postgres://alice:(password)@host:5432/keys' found",
            ),
            ("https://a:hunter2@b, and", "https://a:(password)@b, and"),
            ("alice:hunter2@host/keys", "alice:(password)@host/keys"),
            ("mysql://a:hun:ter2/?@x@b", "mysql://a:(password)@b"),
            ("postgres:alice:hunter2'", "postgres:(password)'"),
            (
                "postgres://alice:hunter2/keys",
                "postgres://alice:(password)/keys",
            ),
            (
                "postgres://a@b:hunter2/keys",
                "postgres://a@b:(password)/keys",
            ),
            ("postgres://a@[::1]:5432/k", "postgres://a@[::1]:5432/k"),
            (
                "postgres://a@b/k?pasword=hunter2&x=1",
                "postgres://a@b/k?pasword=(password)&x=(password)",
            ),
            ("postgres://a@b/k?hunter2'", "postgres://a@b/k?(password)'"),
            ("PGPASSWORD=hunter2 x", "PGPASSWORD=(password) x"),
            ("host=b passwd=hunter2", "host=b passwd=(password)"),
        ] {
            assert_eq!(redact(text), redacted);
        }
    }

    #[test]
    fn what_is_no_password_is_left_alone() {
        for text in [
            "write sqlite:PATH, postgres://USER@HOST/DATABASE or file:PATH",
            "sqlite:///var/keys.db: there is no such file; see 2027-01-15T08:00:00Z",
            "alice@example.com",
            "http://127.0.0.1:8080/: refused",
            "1=env:NAME",
            "password authentication failed for user \"alice\"",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}

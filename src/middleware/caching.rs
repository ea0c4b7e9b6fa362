//! The headers that control caches.
//!
//! Some versions of caches read only one field line of `Vary` (nginx before 1.23 reads the last one), so
//! an addition goes into the line that is there.

use http::header::{CACHE_CONTROL, EXPIRES, Entry, HeaderMap, HeaderName, HeaderValue, VARY};

const PRIVATE: HeaderValue = HeaderValue::from_static("private");

/// Adds the carriers of keys to `Vary`. A `Vary` of `*` covers them.
#[inline]
pub(crate) fn vary_by(headers: &mut HeaderMap, carriers: HeaderValue) {
    // One probe of the map if the response has no such field, as most have not.
    if headers.append(VARY, carriers) {
        extend(headers);
    }
}

/// Keeps shared caches from storing the response, unless the response itself says what they may do.
///
/// RFC 9111 §3.5 has the same exceptions for `Authorization`: `public`, `s-maxage` and
/// `must-revalidate`.
#[inline]
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    if headers.append(CACHE_CONTROL, PRIVATE) {
        restrict(headers);
    }
}

/// Keeps every cache from storing the response. The fields that caches prefer to `Cache-Control`
/// are removed: targeted ones (RFC 9213), their forerunners, and nginx's own.
pub(crate) fn forbid_storing(headers: &mut HeaderMap) {
    let overruling: Vec<HeaderName> = headers
        .keys()
        .filter(|name| overrules(name))
        .cloned()
        .collect();
    for name in overruling {
        headers.remove(name);
    }
    headers.insert(
        CACHE_CONTROL,
        const { HeaderValue::from_static("no-store") },
    );
}

fn overrules(name: &HeaderName) -> bool {
    name == EXPIRES
        || matches!(
            name.as_str(),
            "x-accel-expires" | "surrogate-control" | "edge-control"
        )
        || name.as_str().ends_with("-cache-control")
}

/// Makes one line of `Vary`, of which the last line was appended.
#[cold]
fn extend(headers: &mut HeaderMap) {
    let (lines, carriers) = take(headers, &VARY);
    let mut fields = joined(&lines);
    let mut lacking = Vec::new();
    for carrier in members(carriers.as_bytes()) {
        if !members(&fields).any(|field| field.eq_ignore_ascii_case(carrier)) {
            lacking.push(carrier);
        }
    }
    let any = |member: &[u8]| member == b"*";
    let value = if members(&fields).any(any) || lacking.iter().copied().any(any) {
        None
    } else {
        for carrier in lacking {
            append(&mut fields, carrier);
        }
        // The parts are header values, so the joined bytes are one too.
        HeaderValue::from_bytes(&fields).ok()
    };
    let everything = const { HeaderValue::from_static("*") };
    headers.insert(VARY, value.unwrap_or(everything));
}

/// Puts `private`, which was appended, into the line of `Cache-Control` that was there, or takes it
/// off again.
#[cold]
fn restrict(headers: &mut HeaderMap) {
    let (lines, _) = take(headers, &CACHE_CONTROL);
    let mut directives = joined(&lines);
    let value = match decides_on_sharing(&directives) {
        Some(true) => {
            for line in lines {
                headers.append(CACHE_CONTROL, line);
            }
            return;
        }
        Some(false) => {
            append(&mut directives, b"private");
            HeaderValue::from_bytes(&directives).ok()
        }
        None => None,
    };
    headers.insert(CACHE_CONTROL, value.unwrap_or(PRIVATE));
}

/// Removes a field. Returns the lines that were there, and the line that was appended to them.
fn take(headers: &mut HeaderMap, name: &HeaderName) -> (Vec<HeaderValue>, HeaderValue) {
    let mut lines = Vec::new();
    if let Entry::Occupied(entry) = headers.entry(name) {
        lines.extend(entry.remove_entry_mult().1);
    }
    let appended = lines.pop();
    (
        lines,
        appended.unwrap_or(const { HeaderValue::from_static("") }),
    )
}

/// Whether one of the directives (RFC 9111 §5.2) says what a shared cache may do with the whole
/// response. `None` if a quoted string does not end, because nothing after it can be relied on.
fn decides_on_sharing(directives: &[u8]) -> Option<bool> {
    let (mut quoted, mut escaped) = (false, false);
    let mut decides = false;
    let is_separator = |&byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    };
    for directive in directives.split(is_separator) {
        let mut parts = directive.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        decides |= ["public", "s-maxage", "must-revalidate", "no-store"]
            .into_iter()
            .any(is)
            // With a value, it applies only to the fields named in it.
            || (is("private") && parts.next().is_none());
    }
    (!quoted).then_some(decides)
}

/// The members of a list without quoted strings (RFC 9110 §5.6.1).
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// The field lines as one (RFC 9110 §5.3).
fn joined(lines: &[HeaderValue]) -> Vec<u8> {
    let mut line = Vec::new();
    for value in lines {
        append(&mut line, value.as_bytes());
    }
    line
}

fn append(line: &mut Vec<u8>, member: &[u8]) {
    if !line.is_empty() && !member.is_empty() {
        line.extend(b", ");
    }
    line.extend(member);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<const N: usize>(name: &HeaderName, lines: [&'static str; N]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        headers
    }

    #[track_caller]
    fn assert_lines(headers: &HeaderMap, name: &HeaderName, expected: &[&str], what: &str) {
        let lines: Vec<&[u8]> = headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(lines, expected, "{what}");
    }

    #[test]
    fn r26_vary_is_one_line_with_every_carrier_once() {
        let table: [(&[&'static str], &str, &str); 10] = [
            (&[], "x-api-key", "x-api-key"),
            (&["accept"], "x-api-key", "accept, x-api-key"),
            (
                &["accept", "origin"],
                "x-api-key, authorization",
                "accept, origin, x-api-key, authorization",
            ),
            (&["X-API-Key"], "x-api-key", "X-API-Key"),
            (
                &["Authorization, accept"],
                "x-api-key, authorization",
                "Authorization, accept, x-api-key",
            ),
            (&["*"], "x-api-key", "*"),
            (&["accept, *", "origin"], "x-api-key", "*"),
            (&["accept"], "*", "*"),
            (&[""], "x-api-key", "x-api-key"),
            (&["x-api-key-2"], "x-api-key", "x-api-key-2, x-api-key"),
        ];
        for (lines, carriers, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(VARY, HeaderValue::from_static(line));
            }
            vary_by(&mut headers, HeaderValue::from_static(carriers));
            assert_lines(
                &headers,
                &VARY,
                &[expected],
                &format!("{lines:?} {carriers}"),
            );
        }
    }

    #[test]
    fn r26_only_a_directive_that_decides_on_sharing_is_left_alone() {
        for decided in [
            "public",
            "Public, max-age=60",
            "max-age=60 , s-maxage=60",
            "s-maxage = 60",
            "max-age=60,MUST-REVALIDATE",
            "no-store",
            "private",
            "no-cache=\"a, b\", public",
            "x=\"\\\"\", public",
        ] {
            let mut headers = with(&CACHE_CONTROL, [decided]);
            keep_private(&mut headers);
            assert_lines(&headers, &CACHE_CONTROL, &[decided], decided);
        }
        for (open, expected) in [
            ("max-age=60", "max-age=60, private"),
            ("", "private"),
            ("no-cache", "no-cache, private"),
            ("proxy-revalidate", "proxy-revalidate, private"),
            ("not-public", "not-public, private"),
            ("public-ish", "public-ish, private"),
            ("x=public", "x=public, private"),
            ("ext=\"a, public, b\"", "ext=\"a, public, b\", private"),
            (
                "ext=\"\\\", public, b\"",
                "ext=\"\\\", public, b\", private",
            ),
            ("private=\"set-cookie\"", "private=\"set-cookie\", private"),
            ("ext=\"a, public", "private"),
        ] {
            let mut headers = with(&CACHE_CONTROL, [open]);
            keep_private(&mut headers);
            assert_lines(&headers, &CACHE_CONTROL, &[expected], open);
        }
    }

    #[test]
    fn r26_every_line_of_cache_control_counts() {
        let mut headers = with(&CACHE_CONTROL, ["max-age=60", "public"]);
        keep_private(&mut headers);
        assert_lines(
            &headers,
            &CACHE_CONTROL,
            &["max-age=60", "public"],
            "public",
        );

        let mut headers = with(&CACHE_CONTROL, ["max-age=60", "no-transform"]);
        keep_private(&mut headers);
        let expected = ["max-age=60, no-transform, private"];
        assert_lines(&headers, &CACHE_CONTROL, &expected, "none");

        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_bytes(b"x=\xff").unwrap());
        keep_private(&mut headers);
        assert_eq!(headers[CACHE_CONTROL].as_bytes(), b"x=\xff, private");
    }

    #[test]
    fn r26_nothing_overrules_no_store() {
        let mut headers = with(&CACHE_CONTROL, ["public", "max-age=60"]);
        for name in [
            "expires",
            "x-accel-expires",
            "surrogate-control",
            "edge-control",
            "cdn-cache-control",
            "cloudflare-cdn-cache-control",
        ] {
            headers.insert(name, HeaderValue::from_static("max-age=60"));
        }
        headers.insert("x-kind", HeaderValue::from_static("kept"));
        forbid_storing(&mut headers);
        assert_lines(&headers, &CACHE_CONTROL, &["no-store"], "no-store");
        assert_eq!(headers["x-kind"], "kept");
        assert_eq!(headers.len(), 2);
    }
}

//! Patterns of paths, as axum has them.

use super::path;

/// Why a pattern is none, in words for the author of a route.
pub(super) type Problem = &'static str;

/// A part of a pattern between two slashes.
enum Segment<'a> {
    Literal,
    /// The text before the parameter, and its name.
    Parameter(&'a str, &'a str),
    /// The rest of a path.
    Rest(&'a str),
}

/// Checks a pattern: literal segments that a canonical path can have, parameters such as `{id}`, and `{*rest}`
/// at the end.
pub(super) fn check(pattern: &str) -> Result<(), Problem> {
    let mut names = Vec::new();
    let mut segments = pattern.split('/').peekable();
    while let Some(segment) = segments.next() {
        match parse(segment)? {
            Segment::Literal => {}
            Segment::Rest(_) if segments.peek().is_some() => {
                return Err("a parameter {*rest} has to be at the end");
            }
            Segment::Parameter(_, name) | Segment::Rest(name) => {
                if names.contains(&name) {
                    return Err("two parameters have one name");
                }
                names.push(name);
            }
        }
    }
    match path::read(&sample(pattern, "x", "x")) {
        Some(path) if !path.is_alias => Ok(()),
        Some(_) => Err(
            "a pattern has no needless percent-encoding, and the digits of one are in upper case",
        ),
        None => Err(
            "no request can match: a path starts with /, and has no empty segment, ., .., ; and no needless percent-encoding",
        ),
    }
}

fn parse(segment: &str) -> Result<Segment<'_>, Problem> {
    if segment.starts_with([':', '*']) {
        return Err("a parameter is {name}, and the rest of a path is {*name}");
    }
    let Some((before, parameter)) = segment.split_once('{') else {
        return if segment.contains('}') {
            Err("a parameter begins with {")
        } else {
            Ok(Segment::Literal)
        };
    };
    let Some(name) = parameter.strip_suffix('}') else {
        return Err("a parameter ends its segment with }");
    };
    let (name, is_rest) = match name.strip_prefix('*') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("a parameter has a name of letters, digits, _ and -");
    }
    match (before, is_rest) {
        ("", true) => Ok(Segment::Rest(name)),
        (_, true) => Err("a parameter {*rest} is a whole segment"),
        (before, false) => Ok(Segment::Parameter(before, name)),
    }
}

/// A path that the pattern matches, with these values for each parameter and for the rest.
pub(super) fn sample(pattern: &str, value: &str, rest: &str) -> String {
    let segments = pattern.split('/').map(|segment| match parse(segment) {
        Ok(Segment::Parameter(before, _)) => format!("{before}{value}"),
        Ok(Segment::Rest(_)) => rest.to_owned(),
        Ok(Segment::Literal) | Err(_) => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_that_a_canonical_path_can_match() {
        for pattern in [
            "/",
            "/orders",
            "/orders/",
            "/orders/{id}",
            "/orders/{id}/items/{item-2}",
            "/files/{*path}",
            "/v-{major}",
            "/a%20b",
            "/pkg.Service/Method",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
        for (pattern, problem) in [
            (
                "/orders/:id",
                "a parameter is {name}, and the rest of a path is {*name}",
            ),
            (
                "/files/*path",
                "a parameter is {name}, and the rest of a path is {*name}",
            ),
            ("/a/id}", "a parameter begins with {"),
            ("/a/{id", "a parameter ends its segment with }"),
            ("/a/{id}.json", "a parameter ends its segment with }"),
            (
                "/a/{{id}}",
                "a parameter has a name of letters, digits, _ and -",
            ),
            (
                "/a/{}",
                "a parameter has a name of letters, digits, _ and -",
            ),
            (
                "/a/{*}",
                "a parameter has a name of letters, digits, _ and -",
            ),
            ("/{*rest}/a", "a parameter {*rest} has to be at the end"),
            ("/{*rest}/", "a parameter {*rest} has to be at the end"),
            ("/a-{*rest}", "a parameter {*rest} is a whole segment"),
            ("/{id}/{id}", "two parameters have one name"),
            (
                "/a%3Ab",
                "a pattern has no needless percent-encoding, and the digits of one are in upper case",
            ),
            (
                "/%c3%a9",
                "a pattern has no needless percent-encoding, and the digits of one are in upper case",
            ),
        ] {
            assert_eq!(check(pattern), Err(problem), "{pattern}");
        }
        for pattern in [
            "", "orders", "//", "/a//b", "/../a", "/a/.", "/a;b", "/%61", "/a b", "/é", "/a?b",
        ] {
            assert!(
                check(pattern)
                    .unwrap_err()
                    .starts_with("no request can match"),
                "{pattern}"
            );
        }
    }
}

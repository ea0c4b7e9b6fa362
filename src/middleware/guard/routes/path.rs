//! Paths that every program reads in the same way.

use http::Uri;

/// The path of a target, if it is canonical.
///
/// An authority with user information is refused with it, because such a target is made to be read in two
/// ways (RFC 9110 §4.2.4).
#[inline]
pub(super) fn canonical(target: &Uri) -> Option<&str> {
    // `CONNECT` has an authority and no path, and the path of `OPTIONS *` has no slash.
    if let Some(authority) = target.authority()
        && authority.as_str().contains('@')
    {
        return None;
    }
    Some(target.path()).filter(|path| is_canonical(path))
}

/// The bytes that stand for themselves in a segment: those of RFC 3986 §3.3 without `;`, at which some programs cut
/// a segment off. A table, because most bytes of a path need nothing else.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 0x80 {
        plain[byte as usize] = is_unreserved(byte)
            || matches!(
                byte,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
            );
        byte += 1;
    }
    plain
};

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a path starts with a slash and has neither `.` and `..` nor empty segments, except one at its end,
/// and whether each of its characters has one spelling and is never a delimiter.
#[inline]
pub(super) fn is_canonical(path: &str) -> bool {
    let path = path.as_bytes();
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        at += 1;
        if PLAIN[usize::from(byte)] {
            continue;
        }
        let rest = &path[at..];
        match byte {
            b'/' if is_no_segment(rest) => return false,
            b'/' => {}
            b'%' => match rest.first_chunk() {
                Some(digits) if is_rightly_encoded(*digits) => at += digits.len(),
                _ => return false,
            },
            _ => return false,
        }
    }
    true
}

/// Whether a path goes on with an empty segment, `.` or `..`. A slash at its end is no segment.
fn is_no_segment(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
    )
}

/// Whether two digits stand for a character that has to be encoded in a path, and that is no delimiter to a
/// program that decodes the path before it reads it.
fn is_rightly_encoded([high, low]: [u8; 2]) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return false;
    };
    let Ok(byte) = u8::try_from(high * 16 + low) else {
        return false;
    };
    !is_unreserved(byte) && !byte.is_ascii_control() && !matches!(byte, b'/' | b'\\' | b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_a_canonical_path_has_one_reading() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/...",
            "/.a",
            "/a..",
            "/..a/b",
            "/a:b@c",
            "/a%20b",
            "/%C3%A9",
            "/%c3%a9",
            "/a,b=c",
            "/~x",
            "/pkg.Service/Method",
            "/a%25b",
        ] {
            assert!(is_canonical(path), "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//",
            "/a//b",
            "/.",
            "/..",
            "/./",
            "/../a",
            "/a/.",
            "/a/..",
            "/a/./b",
            "/a/../b",
            "/a;b",
            "/a;/b",
            "/a\\b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/%2e",
            "/%2E%2e/a",
            "/.%2e/a",
            "/a%3bb",
            "/%61",
            "/%7E",
            "/%00",
            "/a%0d%0a",
            "/%7f",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/a%",
            "/é",
            "/a b",
            "/a\"",
            "/{a}",
            "/a|b",
            "/a?b",
            "/a#b",
        ] {
            assert!(!is_canonical(path), "{path}");
        }
    }

    #[test]
    fn r13_a_target_with_user_information_has_no_canonical_path() {
        for (target, path) in [
            ("http://api.example.com/a", Some("/a")),
            ("http://api.example.com", Some("/")),
            ("/a?b=..//", Some("/a")),
            ("http://api.example.com@evil.example/a", None),
            ("http://a:b@api.example.com/a", None),
            ("api.example.com:443", None),
            ("*", None),
        ] {
            assert_eq!(canonical(&target.parse().unwrap()), path, "{target}");
        }
    }
}

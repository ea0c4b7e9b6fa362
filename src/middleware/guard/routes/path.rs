//! Paths that every program reads in the same way.

use http::Uri;

/// A canonical path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) text: &'a str,
    /// Whether it is another spelling of a path: something is encoded that need not be, or with hex digits in lower
    /// case (RFC 3986 §6.2.2.1).
    pub(super) is_alias: bool,
}

impl Path<'_> {
    /// The spelling that patterns have. To a program that decodes a path before it reads it, both are one path.
    #[cold]
    pub(super) fn normal(&self) -> String {
        let mut normal = String::with_capacity(self.text.len());
        let mut rest = self.text;
        while let Some((before, encoded)) = rest.split_once('%') {
            normal.push_str(before);
            let (digits, after) = encoded.split_at_checked(2).unwrap_or((encoded, ""));
            match digits.as_bytes().try_into().ok().and_then(decoded) {
                Some(byte) if PLAIN[usize::from(byte)] => normal.push(char::from(byte)),
                _ => {
                    normal.push('%');
                    normal.push_str(&digits.to_ascii_uppercase());
                }
            }
            rest = after;
        }
        normal.push_str(rest);
        normal
    }
}

/// The path of a target, if it is canonical.
///
/// An authority with user information is refused with it, because such a target is made to be read in two
/// ways (RFC 9110 §4.2.4).
#[inline]
pub(super) fn canonical(target: &Uri) -> Option<Path<'_>> {
    // `CONNECT` has an authority and no path, and the path of `OPTIONS *` has no slash.
    if let Some(authority) = target.authority()
        && authority.as_str().contains('@')
    {
        return None;
    }
    read(target.path())
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

/// Reads a path, if it starts with a slash and has neither `.` and `..` nor empty segments, except one at its end,
/// and if each of its characters is one that a path can have, and encoded only if it is not unreserved and no
/// delimiter.
///
/// A character of [`PLAIN`] that is not unreserved, such as `:`, may be encoded: clients encode it in the value of a
/// parameter. Then the path is an alias.
#[inline]
pub(super) fn read(text: &str) -> Option<Path<'_>> {
    if is_plain(text.as_bytes()) {
        return Some(Path {
            text,
            is_alias: false,
        });
    }
    read_closely(text)
}

/// Whether a path starts with a slash, has only slashes and bytes of [`PLAIN`], and no segment begins with a dot or is empty,
/// as nearly all paths have it. It has no branch for each byte, of which a processor would guess some wrong.
#[inline]
fn is_plain(path: &[u8]) -> bool {
    const SLASH: u8 = 1;
    /// A slash or a dot, which does not follow a slash.
    const NO_START: u8 = 2;
    const OTHER: u8 = 4;
    const CLASSES: [u8; 256] = {
        let mut classes = [OTHER; 256];
        let mut byte = 0;
        while byte < 256 {
            if PLAIN[byte] {
                classes[byte] = 0;
            }
            byte += 1;
        }
        classes[b'/' as usize] = SLASH | NO_START;
        classes[b'.' as usize] = NO_START;
        classes
    };
    let (mut before, mut found) = (0, 0);
    for &byte in path {
        let class = CLASSES[usize::from(byte)];
        found |= (before << 1 & class & NO_START) | (class & OTHER);
        before = class & SLASH;
    }
    path.first() == Some(&b'/') && found == 0
}

#[cold]
fn read_closely(text: &str) -> Option<Path<'_>> {
    let path = text.as_bytes();
    if path.first() != Some(&b'/') {
        return None;
    }
    let mut is_alias = false;
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        at += 1;
        if PLAIN[usize::from(byte)] {
            continue;
        }
        let rest = &path[at..];
        match byte {
            b'/' if is_no_segment(rest) => return None,
            b'/' => {}
            b'%' => {
                let digits = *rest.first_chunk()?;
                is_alias |= is_alias_of(digits)?;
                at += digits.len();
            }
            _ => return None,
        }
    }
    Some(Path { text, is_alias })
}

/// Whether what two hex digits encode has another spelling. `None` if it may not be encoded.
#[cold]
fn is_alias_of(digits: [u8; 2]) -> Option<bool> {
    let byte = decoded(digits).filter(|byte| is_rightly_encoded(*byte))?;
    Some(PLAIN[usize::from(byte)] || digits.iter().any(u8::is_ascii_lowercase))
}

/// Whether a path goes on with an empty segment, `.` or `..`. A slash at its end is no segment.
fn is_no_segment(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
    )
}

/// The byte that two hex digits stand for.
fn decoded([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether a character may be encoded in a path, and is no delimiter to a program that decodes the path before it
/// reads it.
fn is_rightly_encoded(byte: u8) -> bool {
    !is_unreserved(byte) && !byte.is_ascii_control() && !matches!(byte, b'/' | b'\\' | b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_canonical(path: &str) -> bool {
        read(path).is_some()
    }

    #[test]
    fn r13_a_plain_path_is_canonical_to_the_closer_look_too() {
        let letters = ["/", ".", "a", "%", "%41", ":", ";", "\\", "\u{e9}"];
        let mut paths = vec![String::new()];
        for _ in 0..5 {
            let longer = |path: &String| letters.map(|letter| format!("{path}{letter}"));
            paths = paths.iter().flat_map(longer).collect();
            for path in &paths {
                let closer = read_closely(path).map(|path| (path.text, path.is_alias));
                if is_plain(path.as_bytes()) {
                    assert_eq!(closer, Some((path.as_str(), false)), "{path}");
                } else if closer.is_some() {
                    assert!(path.contains("/.") || path.contains('%'), "{path}");
                }
            }
        }
        assert!(is_plain(b"/") && is_plain(b"/a.b/c:d/") && !is_plain(b"/.a") && !is_plain(b""));
    }

    #[test]
    fn r13_an_alias_has_the_normal_form_of_the_path_that_it_stands_for() {
        for (path, normal) in [
            ("/a%3Ab", "/a:b"),
            ("/a%3ab", "/a:b"),
            ("/%40%21%24%26%27%28%29%2A%2B%2C%3D", "/@!$&'()*+,="),
            ("/%c3%a9/%C3%a9", "/%C3%A9/%C3%A9"),
            ("/%7bid%7d", "/%7Bid%7D"),
            ("/a%253a%3a", "/a%253a:"),
        ] {
            let read = read(path).unwrap();
            assert!(read.is_alias, "{path}");
            assert_eq!(read.normal(), normal);
            let again = super::read(normal).unwrap();
            assert!(!again.is_alias, "{normal}");
            assert_eq!(again.normal(), normal);
        }
        for path in ["/a%20b", "/%C3%A9", "/a%25b", "/a:b", "/"] {
            assert!(!read(path).unwrap().is_alias, "{path}");
        }
    }

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
            let target = target.parse().unwrap();
            assert_eq!(canonical(&target).map(|it| it.text), path, "{target}");
        }
    }
}

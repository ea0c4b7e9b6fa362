//! Keys that people paste: alone, in quotes, in a line of a log.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::Arc;

use tower_api_key::store::KeyStore;
use tower_api_key::{
    Error, ErrorKind, InvalidCause, KeyId, KeyRing, KeyRingBuilder, VerifyError, VerifyErrorKind,
    redact_keys,
};

use crate::arguments::Common;
use crate::failure::{Exit, Failure};
use crate::output::tell;
use crate::setup::dry;
use crate::text::is_shown;

/// More than any key and the lines around it have.
const LONGEST: u64 = 64 * 1024;
/// What follows the prefix in a key.
const SUFFIX: usize = "_0123456789Ab_0123456789ABCDEFGHIJKLMNOPQRSTUV".len();

/// Which key an argument names.
pub(crate) enum Named {
    ById(KeyId),
    /// What standard input holds.
    ByText(String),
}

impl Named {
    /// From an id, an id with the prefix before it, or `-` for standard input.
    pub(crate) fn new(text: &str, common: &Common) -> Result<Self, Failure> {
        if text == "-" {
            return Ok(Self::ByText(read()?));
        }
        Ok(Self::ById(key_id(text, common.prefix.as_deref())?))
    }

    /// The id of the key. A key that was pasted must be the one of the record: anyone can make a text
    /// that names the id of another's key.
    pub(crate) async fn id(
        self,
        common: &Common,
        store: &Arc<dyn KeyStore>,
    ) -> Result<KeyId, Failure> {
        let text = match self {
            Self::ById(id) => return Ok(id),
            Self::ByText(text) => text,
        };
        let pasted = trimmed(&text);
        if let Ok(id) = key_id(pasted, common.prefix.as_deref()) {
            return Ok(id);
        }
        let ring = common
            .managing()?
            .accept_imports()
            .build(Arc::clone(store))?;
        let found = match &common.prefix {
            Some(_) => keys_in(&text, &dry(common.builder()?)?).await,
            None => Vec::new(),
        };
        match &found[..] {
            [] => {
                for key in [pasted, unquoted(pasted).unwrap_or(pasted)] {
                    if let Ok(id) = proven(&ring, key).await? {
                        return Ok(id);
                    }
                }
                Err(nothing_in(pasted, common.prefix.as_deref()))
            }
            [(id, key)] => match proven(&ring, key).await? {
                Ok(id) => Ok(id),
                Err(_) => Err(unproven(*id, ring.get(*id).await.ok().flatten().is_some())),
            },
            several => {
                let ids: Vec<&str> = several.iter().map(|(id, _)| id.as_str()).collect();
                let ids = ids.join(", ");
                let text = format!(
                    "standard input has several keys; write the id of one as the argument: {ids}"
                );
                Err(Failure::usage(text))
            }
        }
    }
}

impl Common {
    /// Opens the store, and says which of its keys is named.
    pub(crate) async fn open_key(
        &self,
        builder: KeyRingBuilder,
        named: Named,
    ) -> Result<(KeyRing, KeyId), Failure> {
        let store = self.store_url()?.open().await?;
        let id = named.id(self, &store).await?;
        Ok((self.acting(builder.build(store)?)?, id))
    }
}

/// The key whose record has the digest of this text, or the refusal of a text that has none.
async fn proven(ring: &KeyRing, key: &str) -> Result<Result<KeyId, VerifyError>, Failure> {
    match ring.verify(key.as_bytes()).await {
        Ok(key) => Ok(Ok(key.id())),
        Err(error) if !matches!(error.kind(), VerifyErrorKind::Invalid(_)) => {
            Err(Failure::from(&error))
        }
        Err(error) => Ok(error.key_id().ok_or(error)),
    }
}

fn unproven(id: KeyId, is_there: bool) -> Failure {
    let text = if is_there {
        format!(
            "the text has the id {id}, but it is not that key: its secret is different, or the \
             ring has a pepper and the command needs --pepper; nothing was changed; to use the id \
             alone, write {id} instead of -"
        )
    } else {
        format!(
            "no such key in this realm: the text has the id {id}; use list to see the keys, or \
             --realm to choose another realm"
        )
    };
    Failure::new(Exit::NotFound, text)
}

fn nothing_in(text: &str, prefix: Option<&str>) -> Failure {
    let of = prefix.map_or_else(String::new, |prefix| format!(" with the prefix {prefix}"));
    if text.is_empty() {
        return Failure::usage("no key: write it to standard input");
    }
    let mut line = format!("there is no complete key{of} in standard input");
    match claimed(text, prefix) {
        Some(id) => {
            line = format!("{line}, only the id {id}; if the id is right, write it instead of -");
        }
        None if redact_keys(text) != text => {
            line.push_str(": the key in it is mistyped, or has another prefix");
        }
        None => {}
    }
    Failure::usage(line)
}

/// The id of a key that is cut off or mistyped.
fn claimed(text: &str, prefix: Option<&str>) -> Option<KeyId> {
    let start = format!("{}_", prefix?);
    let (_, rest) = text.split_once(&start)?;
    rest.get(..12)?.parse().ok()
}

/// The keys in a text, whatever is glued to them, each with its id: as they stand, or
/// percent-encoded. `shape` is a ring of the prefix over nothing.
pub(crate) async fn keys_in(text: &str, shape: &KeyRing) -> Vec<(KeyId, String)> {
    let start = format!("{}_", shape.prefix());
    let length = shape.prefix().len() + SUFFIX;
    let mut found: Vec<(KeyId, String)> = Vec::new();
    for text in [text, &percent_decoded(text)] {
        for (at, _) in text.match_indices(&start) {
            let Some(key) = text.get(at..at + length) else {
                continue;
            };
            let Err(error) = shape.verify(key.as_bytes()).await else {
                continue;
            };
            if let Some(id) = error.claimed_key_id()
                && error.kind() == VerifyErrorKind::Invalid(InvalidCause::Unknown)
                && !found.iter().any(|(_, other)| other == key)
            {
                found.push((id, key.to_owned()));
            }
        }
    }
    found
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = after
            .get(..2)
            .filter(|_| first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An id: bare, or with the prefix of the key before it, and with what a log leaves of a key behind
/// it.
pub(crate) fn key_id(text: &str, prefix: Option<&str>) -> Result<KeyId, Failure> {
    let text = trimmed(text);
    let text = unquoted(text).unwrap_or(text);
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let parts = parts(text);
    let is_secret = |rest: &str| rest.chars().any(char::is_alphanumeric);
    match parts {
        Some((_, id, rest)) if is_secret(rest) => Err(not_an_id(Some(id))),
        _ if redact_keys(text) != text => Err(not_an_id(None)),
        Some((written, _, _)) if prefix.is_some_and(|prefix| prefix != written) => {
            Err(Failure::usage(format!(
                "this id is of a key with the prefix {written}, but the prefix is {}; use \
                 --prefix to choose another",
                prefix.unwrap_or_default()
            )))
        }
        Some((_, id, _)) => Ok(id),
        None => Err(Error::from(ErrorKind::InvalidKeyId).into()),
    }
}

/// The prefix, the id, and what follows it.
fn parts(text: &str) -> Option<(&str, KeyId, &str)> {
    text.match_indices('_').find_map(|(at, _)| {
        let (prefix, rest) = (&text[..at], &text[at + 1..]);
        let id = rest.get(..12)?.parse().ok()?;
        let after = &rest[12..];
        let is_prefix = prefix.starts_with(|first: char| first.is_ascii_lowercase())
            && prefix
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        (is_prefix && (after.is_empty() || after.starts_with('_'))).then_some((prefix, id, after))
    })
}

fn not_an_id(id: Option<KeyId>) -> Failure {
    let text = "this is a key, not its id, and it may have leaked, because other users can see \
                arguments";
    Failure::usage(match id {
        Some(id) => {
            format!("{text}; write its id, {id}, or write - and put the key on standard input")
        }
        None => format!(
            "{text}; the id is the 12 characters before its last _; or write - and put the key on \
             standard input"
        ),
    })
}

/// All of standard input, or the line that is typed on a terminal.
pub(crate) fn read() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let stdin = io::stdin();
    let mut input = stdin.lock().take(LONGEST);
    let read = if stdin.is_terminal() {
        tell("paste the key, or the line that holds it, and press Enter\n");
        input.read_until(b'\n', &mut bytes)
    } else {
        input.read_to_end(&mut bytes)
    };
    read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    let wide = |decode: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|it| decode([it[0], it[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    };
    // What some shells of Windows write.
    Ok(match bytes.get(..2) {
        Some(b"\xff\xfe") => wide(u16::from_le_bytes),
        Some(b"\xfe\xff") => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// Without white space and characters that are not shown, a byte order mark among them, around it.
/// None of them can be part of a key.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|it: char| it.is_whitespace() || !is_shown(it))
}

/// What stands between two quotes.
pub(crate) fn unquoted(text: &str) -> Option<&str> {
    ["\"\"", "''", "``", "\u{201c}\u{201d}", "\u{2018}\u{2019}"]
        .iter()
        .find_map(|quotes| {
            let mut quotes = quotes.chars();
            text.strip_prefix(quotes.next()?)?
                .strip_suffix(quotes.next()?)
        })
}

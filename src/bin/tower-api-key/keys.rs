//! Commands that write a new key to standard output.

use tower_api_key::{Error, ErrorKind, Issued, KeyRecord, KeyRing, RevocationReason};

use crate::arguments::{Common, GrantArguments, Policy, RegrantArguments};
use crate::describe;
use crate::durations::duration;
use crate::failure::Failure;
use crate::output::{Output, colours, ensure_printable, print, print_json, tell};
use crate::setup::key_id;

pub(crate) async fn issue(
    common: &Common,
    output: Output,
    arguments: &GrantArguments,
    policy: &Policy,
) -> Result<(), Failure> {
    let builder = policy.apply(common.builder()?)?;
    let grant = arguments.details.grant(&arguments.subject)?;
    ensure_printable()?;
    let ring = common.open(builder).await?;
    let issued = ring.issue(grant).await?;
    hand_over(&ring, output, issued).await
}

pub(crate) async fn rotate(
    common: &Common,
    output: Output,
    id: &str,
    grace: Option<&str>,
    policy: &Policy,
) -> Result<(), Failure> {
    let builder = policy.apply(common.builder()?)?;
    let id = key_id(id)?;
    let grace = grace.map(duration).transpose()?;
    ensure_printable()?;
    let ring = common.open(builder).await?;
    let issued = match grace {
        Some(grace) => ring.rotate(id, grace).await?,
        None => ring.rotate_at_once(id).await?,
    };
    hand_over(&ring, output, issued).await
}

pub(crate) async fn regrant(
    common: &Common,
    output: Output,
    id: &str,
    arguments: &RegrantArguments,
    policy: &Policy,
) -> Result<(), Failure> {
    let builder = policy.apply(common.builder()?)?;
    let id = key_id(id)?;
    let grant = arguments
        .details
        .grant(arguments.subject.as_deref().unwrap_or("-"))?;
    ensure_printable()?;
    let ring = common.open(builder).await?;
    let grant = if arguments.subject.is_some() {
        grant
    } else {
        let record = ring.get(id).await?;
        let record = record.ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        arguments.details.grant(record.subject())?
    };
    let issued = ring.regrant(id, grant).await?;
    hand_over(&ring, output, issued).await
}

/// Writes the plaintext to standard output, its only way out, and the rest to standard error. A key
/// that could not be written is in nobody's hands, and is revoked.
async fn hand_over(ring: &KeyRing, output: Output, issued: Issued) -> Result<(), Failure> {
    let (record, key) = (issued.record(), issued.secret().expose());
    let written = if output.json {
        let record = describe::json_of(record, None);
        print_json(&format!("{{\"key\":\"{key}\",\"record\":{record}}}\n"))
    } else {
        print(&format!("{key}\n"))
    };
    if let Err(failure) = written {
        return Err(failure.advise(&take_back(ring, record).await));
    }
    if !output.json {
        let colours = colours(&std::io::stderr());
        tell(&describe::details(record, None, colours));
    }
    Ok(())
}

/// Revokes a key that reached nobody, and says how things stand.
async fn take_back(ring: &KeyRing, record: &KeyRecord) -> String {
    let id = record.id();
    let reason = RevocationReason::CessationOfOperation;
    let taken = match ring.revoke(id, reason).await {
        Ok(()) => format!("the new key {id} was revoked, for nobody has it"),
        Err(error) => {
            let why = Failure::from(error);
            format!("revoke the new key {id} yourself, for that failed too: {why}")
        }
    };
    // The key in whose place it came has its end set already, and that never moves again.
    match record.generation() {
        0 => taken,
        _ => format!("{taken}; the key before it ends all the same, so issue another"),
    }
}

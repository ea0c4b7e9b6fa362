//! Commands that write a new key to standard output.

use tower_api_key::{Issued, KeyRecord, KeyRing, RevocationReason};

use crate::arguments::Common;
use crate::describe;
use crate::durations::duration;
use crate::failure::Failure;
use crate::grant::{GrantArguments, RegrantArguments};
use crate::lineage::{self, Replaced};
use crate::output::{Output, colours, ensure_printable, print, print_json, tell};
use crate::paste::Named;
use crate::policy_arguments::PolicyArguments;

pub(crate) async fn issue(
    common: &Common,
    output: Output,
    arguments: &GrantArguments,
    policy: &PolicyArguments,
) -> Result<(), Failure> {
    policy.warn(output);
    let builder = policy.apply(common.builder()?)?;
    arguments.details.warn(output);
    let grant = arguments.details.grant(&arguments.subject)?;
    ensure_printable()?;
    let ring = common.open(builder).await?;
    lineage::warn_of_prefix(common, &ring, output).await;
    let issued = ring.issue(grant).await?;
    hand_over(&ring, output, issued, None).await
}

pub(crate) async fn rotate(
    common: &Common,
    output: Output,
    id: &str,
    grace: Option<&str>,
    policy: &PolicyArguments,
) -> Result<(), Failure> {
    policy.warn(output);
    let builder = policy.apply(common.builder()?)?;
    let grace = grace.map(duration).transpose()?;
    let named = Named::new(id, common)?;
    ensure_printable()?;
    let (ring, id) = common.open_key(builder, named).await?;
    lineage::warn_of_prefix(common, &ring, output).await;
    let old = lineage::record(&ring, id).await?;
    let issued = match grace {
        Some(grace) => ring.rotate(id, grace).await?,
        None => ring.rotate_now(id).await?,
    };
    let replaced = Replaced::new(old, issued.record().issued_at(), grace);
    let shortened = replaced.shortened(
        issued.record(),
        "to keep the lifetime at the next rotation, use --max-lifetime {} or \
         TOWER_API_KEY_MAX_LIFETIME",
    );
    hand_over(&ring, output, issued, Some(&replaced)).await?;
    if let Some(shortened) = shortened {
        output.warn(&shortened);
    }
    Ok(())
}

pub(crate) async fn regrant(
    common: &Common,
    output: Output,
    id: &str,
    arguments: &RegrantArguments,
    policy: &PolicyArguments,
) -> Result<(), Failure> {
    policy.warn(output);
    let builder = policy.apply(common.builder()?)?;
    arguments.details.warn(output);
    // What is wrong with it is said before anything is read.
    let subject = arguments.subject.as_deref();
    arguments.details.grant(subject.unwrap_or("-"))?;
    let named = Named::new(id, common)?;
    ensure_printable()?;
    let (ring, id) = common.open_key(builder, named).await?;
    lineage::warn_of_prefix(common, &ring, output).await;
    let old = lineage::record(&ring, id).await?;
    let grant = arguments
        .details
        .grant(subject.unwrap_or(old.subject().as_str()))?;
    let issued = ring.regrant(id, grant).await?;
    let replaced = Replaced::new(old, issued.record().issued_at(), None);
    let shortened = replaced.shortened(
        issued.record(),
        "no expiry was given: use --expires-in or --never-expires, and --max-lifetime {} to raise \
         the limit",
    );
    hand_over(&ring, output, issued, Some(&replaced)).await?;
    if let Some(shortened) = shortened.filter(|_| !arguments.details.names_end()) {
        output.warn(&shortened);
    }
    Ok(())
}

/// Writes the plaintext to standard output, its only way out, and the rest to standard error. A key
/// that could not be written has no holder, and is revoked.
async fn hand_over(
    ring: &KeyRing,
    output: Output,
    issued: Issued,
    replaced: Option<&Replaced>,
) -> Result<(), Failure> {
    let (record, key) = (issued.record(), issued.secret().expose());
    let written = if output.json {
        let record = describe::json_of(record, None);
        let replaced = replaced.map_or_else(String::new, |replaced| {
            format!(",\"replaced\":{}", replaced.to_json())
        });
        print_json(&format!(
            "{{\"key\":\"{key}\",\"record\":{record}{replaced}}}\n"
        ))
    } else {
        print(&format!("{key}\n"))
    };
    if let Err(failure) = written {
        return Err(failure.advise(&take_back(ring, record).await));
    }
    if !output.json {
        let colours = colours(&std::io::stderr());
        tell(&describe::details(
            record,
            &describe::Known::default(),
            colours,
        ));
        if let Some(replaced) = replaced {
            replaced.note(output);
        }
    }
    Ok(())
}

/// Revokes a key that no reader received, and returns a text about the outcome.
async fn take_back(ring: &KeyRing, record: &KeyRecord) -> String {
    let id = record.id();
    let reason = RevocationReason::CessationOfOperation;
    let taken = match ring.revoke(id, reason).await {
        Ok(()) => format!("the new key {id} was revoked, because it was not delivered"),
        Err(error) => {
            let why = Failure::from(error);
            format!(
                "revoke the new key {id} yourself, because the program failed to revoke it: {why}"
            )
        }
    };
    // The key in whose place it came has its end set already, and that never moves again.
    match record.generation() {
        0 => taken,
        _ => format!("{taken}; the key that it replaced ends anyway, so issue another key"),
    }
}

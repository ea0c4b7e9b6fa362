//! `import`: keys that were minted elsewhere.

pub(crate) mod arguments;
mod batch;
mod kind;
mod lines;
mod rehearsal;
mod row;

use serde_json::json;
use tower_api_key::{Import, KeyDigest};

use self::arguments::ImportArguments;
use self::row::Ends;
use crate::arguments::Common;
use crate::check::read_key_to_import;
use crate::describe;
use crate::durations::moment;
use crate::failure::Failure;
use crate::output::{Output, colours};
use crate::setup::dry;

/// Brings in a key that was read from standard input, or its digest; or all keys of a file.
pub(crate) async fn import(
    common: &Common,
    output: Output,
    arguments: &ImportArguments,
) -> Result<(), Failure> {
    if let Some(file) = &arguments.batch.batch {
        return batch::import(common, output, arguments, file).await;
    }
    let builder = || Ok::<_, Failure>(arguments.policy.apply(common.managing()?)?.accept_imports());
    let details = &arguments.details;
    arguments.policy.warn(output);
    details.warn(output);
    if !Ends::of(details)?.are_said() {
        return Err(Failure::usage(
            "no expiry: an imported key has no default lifetime; use --expires-at with its old \
             expiry, --expires-in for a new one, or --never-expires",
        ));
    }
    let subject = arguments.subject.as_deref().unwrap_or_default();
    let mut import = Import::new(details.grant(subject)?);
    if let Some(text) = &arguments.issued_at {
        import = import.issued_at(moment(text)?);
    }
    if arguments.insecure {
        import = import.insecure_accept_weak();
    }
    let digest: Option<KeyDigest> = arguments.digest.as_deref().map(str::parse).transpose()?;
    let plaintext = match digest {
        Some(_) => None,
        None => Some(read_key_to_import(output)?),
    };
    dry(builder()?)?;
    let ring = common.open(builder()?).await?;
    let record = match (digest, &plaintext) {
        (Some(digest), _) => ring.import_digest(import, digest).await?,
        (None, Some(plaintext)) => ring.import_plaintext(import, plaintext).await?,
        (None, None) => return Ok(()),
    };
    let text = describe::details(
        &record,
        &describe::Known::default(),
        colours(&std::io::stdout()),
    );
    output.either(
        &json!({ "record": describe::json_of(&record, None) }),
        &text,
    )
}

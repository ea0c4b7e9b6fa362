//! The example events, by the commands that it prints: a stream ends with its key.

use std::time::Duration;

use serde_json::Value;

use crate::process::{Ended, Running, run};
use crate::rows::{INVALID, MISSING, answer_to, paste, problem};

/// The bound on a stream's end, from the moment at which its key is over.
const BOUND: Duration = Duration::from_secs(1);
/// The grace of a rotation and the life of a brief key, in the example.
const TWO_SECONDS: Duration = Duration::from_secs(2);

/// Opens a stream, and waits for its first tick.
#[track_caller]
fn open(command: &str) -> Running {
    let stream = Running::paste(command);
    let status = stream.next_line();
    assert_eq!(status.as_deref(), Some("HTTP/1.1 200 OK"), "{command}");
    loop {
        let line = stream.next_line().expect("a tick");
        if line == "data: 0" {
            return stream;
        }
    }
}

/// The last event of a stream that has ended well; before it, there are ticks alone.
#[track_caller]
fn last_words(stream: &Ended) -> &str {
    assert_eq!(stream.status.code(), Some(0), "{stream:?}");
    let lines: Vec<&str> = stream
        .stdout
        .iter()
        .map(String::as_str)
        .filter(|line| !line.is_empty())
        .collect();
    let [ticks @ .., "event: over", last] = &lines[..] else {
        panic!("no last event in {lines:?}");
    };
    for tick in ticks.chunks(2) {
        let [name, data] = tick else {
            panic!("half an event in {lines:?}");
        };
        assert_eq!(*name, "event: tick", "{lines:?}");
        assert!(data.starts_with("data: "), "{lines:?}");
    }
    last.strip_prefix("data: ").unwrap()
}

#[test]
fn a_stream_ends_within_a_second_of_the_revoke() {
    let (running, _) = Running::serve("events", &[]);
    let [stream, revoke] = &running.commands("curl", 2)[..] else {
        panic!("two commands");
    };
    let open_stream = open(stream);
    let revoked = answer_to(revoke);
    assert_eq!(revoked.status.as_u16(), 204);
    let ended = open_stream.end_within(BOUND);
    assert_eq!(last_words(&ended), "the key is revoked");

    paste(
        &[stream.replace("-iN", "-i")],
        &[(401, problem(401, INVALID))],
    );
    running.interrupt();
}

#[test]
fn a_stream_ends_within_a_second_of_the_end_of_its_key() {
    let (running, _) = Running::serve("events", &[]);
    let commands = running.commands("curl", 4);
    let [retiring, rotate] = &commands[2..] else {
        panic!("two more commands");
    };
    let keep_brief = running.commands("brief=", 1).remove(0);
    let expiring = running.commands("curl", 1).remove(0);

    let open_stream = open(retiring);
    let rotated = answer_to(rotate);
    assert_eq!(rotated.status.as_u16(), 200);
    let ended = open_stream.end_within(TWO_SECONDS + BOUND);
    assert_eq!(last_words(&ended), "the key is retired");
    paste(
        &[retiring.replace("-iN", "-i")],
        &[(401, problem(401, INVALID))],
    );

    let script = format!("{keep_brief}; printf %s \"$brief\"");
    let brief = String::from_utf8(run("sh", ["-c", &script]).stdout).unwrap();
    let open_stream = open(&expiring.replace("$brief", &brief));
    let ended = open_stream.end_within(TWO_SECONDS + BOUND);
    assert_eq!(last_words(&ended), "the key has expired");
    running.interrupt();
}

#[test]
fn the_successor_of_a_retiring_key_opens_a_stream_that_outlives_it() {
    let (running, _) = Running::serve("events", &[]);
    let commands = running.commands("curl", 4);
    let [retiring, rotate] = &commands[2..] else {
        panic!("two more commands");
    };
    let old_stream = open(retiring);
    let rotated = answer_to(rotate);
    let new_key = String::from_utf8(rotated.body.to_vec()).unwrap();
    let (start, rest) = retiring.split_once("'x-api-key: ").unwrap();
    let (_, end) = rest.split_once('\'').unwrap();
    let new_stream = open(&format!("{start}'x-api-key: {new_key}'{end}"));

    let ended = old_stream.end_within(TWO_SECONDS + BOUND);
    assert_eq!(last_words(&ended), "the key is retired");
    running.interrupt();
    // It has ticked on, and the end of the server was its end.
    let ended = new_stream.end_within(BOUND);
    assert_eq!(last_words(&ended), "the server ends");
}

#[test]
fn a_stream_needs_a_key_and_its_scope() {
    let (running, _) = Running::serve("events", &[]);
    let commands = running.commands("no key", 1);
    let without_key = commands[0].trim_start_matches("no key: 401").trim();
    let without_scope = running.commands("curl", 1).remove(0);
    let lacking: Value = problem(403, "Insufficient scope: expected events:read");
    paste(
        &[without_key.to_owned(), without_scope],
        &[(401, problem(401, MISSING)), (403, lacking)],
    );
    running.interrupt();
}

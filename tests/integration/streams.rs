//! The example events, tested with the commands that it prints: a stream ends with its key.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use tower_api_key::{Clock, SystemClock, Timestamp};

use crate::process::{Ended, Running, run};
use crate::rows::{INVALID, MISSING, answer_to, paste, problem};

/// The bound on a stream's end after the revocation of its key.
const BOUND: Duration = Duration::from_secs(1);
/// The number of times that a stream may miss the bound before a busy machine is no longer the
/// explanation.
const ATTEMPTS: usize = 3;
/// Takes longer only if the stream does not end.
const PATIENCE: Duration = Duration::from_mins(1);
/// The grace period of a rotation, in the example.
const GRACE: Duration = Duration::from_secs(2);
/// The life of a brief key, in the example.
const SHORT_LIFE: Duration = Duration::from_secs(5);

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

/// The last event of a stream that has ended well. Before it, there are only ticks.
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

/// Leaves a key this much lifetime, and returns the seconds in which its stream must end:
/// not before the key, and less than two seconds after it, because the machine may be busy.
fn ending_after<T>(life: Duration, act: impl FnOnce() -> T) -> (T, RangeInclusive<Timestamp>) {
    let end = || SystemClock.now().checked_add(life).unwrap();
    let earliest = end();
    let outcome = act();
    (outcome, earliest..=end().checked_add(BOUND).unwrap())
}

/// Waits for the end of a stream that must end within these seconds.
#[track_caller]
fn end_in_time(stream: Running, seconds: &RangeInclusive<Timestamp>) -> Ended {
    let ended = stream.end_within(PATIENCE);
    let now = SystemClock.now();
    assert!(seconds.contains(&now), "{now} is not in {seconds:?}");
    ended
}

#[test]
fn a_stream_ends_within_a_second_of_the_revoke() {
    let in_time = (0..ATTEMPTS).any(|_| {
        let (running, _) = Running::serve("events", &[]);
        let [stream, revoke] = &running.commands("curl", 2)[..] else {
            panic!("two commands");
        };
        let open_stream = open(stream);
        let revoked = answer_to(revoke);
        assert_eq!(revoked.status.as_u16(), 204);
        let Some(ended) = open_stream.ended_within(BOUND) else {
            return false;
        };
        assert_eq!(last_words(&ended), "the key is revoked");

        paste(
            &[stream.replace("-iN", "-i")],
            &[(401, problem(401, INVALID))],
        );
        running.interrupt();
        true
    });
    assert!(in_time, "{ATTEMPTS} streams did not end within {BOUND:?}");
}

#[test]
fn a_stream_ends_with_its_key() {
    let (running, _) = Running::serve("events", &[]);
    let commands = running.commands("curl", 4);
    let [stream, rotate] = &commands[2..] else {
        panic!("two more commands");
    };
    let keep_brief = running.commands("brief=", 1).remove(0);
    let expiring = running.commands("curl", 1).remove(0);

    let open_stream = open(stream);
    let (rotated, end) = ending_after(GRACE, || answer_to(rotate));
    assert_eq!(rotated.status.as_u16(), 200);
    let ended = end_in_time(open_stream, &end);
    assert_eq!(last_words(&ended), "the key was replaced");
    paste(
        &[stream.replace("-iN", "-i")],
        &[(401, problem(401, INVALID))],
    );

    let script = format!("{keep_brief}; printf %s \"$brief\"");
    let (issued, end) = ending_after(SHORT_LIFE, || run("sh", ["-c", &script]));
    let brief = String::from_utf8(issued.stdout).unwrap();
    let open_stream = open(&expiring.replace("$brief", &brief));
    let ended = end_in_time(open_stream, &end);
    assert_eq!(last_words(&ended), "the key has expired");
    running.interrupt();
}

#[test]
fn the_successor_of_a_replaced_key_opens_a_stream_that_outlives_it() {
    let (running, _) = Running::serve("events", &[]);
    let commands = running.commands("curl", 4);
    let [stream, rotate] = &commands[2..] else {
        panic!("two more commands");
    };
    let old_stream = open(stream);
    let rotated = answer_to(rotate);
    let new_key = String::from_utf8(rotated.body.to_vec()).unwrap();
    let (start, rest) = stream.split_once("'x-api-key: ").unwrap();
    let (_, end) = rest.split_once('\'').unwrap();
    let new_stream = open(&format!("{start}'x-api-key: {new_key}'{end}"));

    let ended = old_stream.end_within(PATIENCE);
    assert_eq!(last_words(&ended), "the key was replaced");
    running.interrupt();
    // It has ticked on, and ended with the server.
    let ended = new_stream.end_within(PATIENCE);
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

//! The tables.

use std::fmt::Display;

use tower_api_key_overhead::{Candidate, Figures, Presented};

use crate::end_to_end;
use crate::memory::Kind;
use crate::part::{CHILD, EXTRAS, HEADERS, Part, REQUIRED, SCOPE_COUNTS};
use crate::threads;

/// How much is measured.
pub(crate) struct Options {
    pub(crate) processes: usize,
    /// Numbers of keys.
    pub(crate) sizes: Vec<usize>,
    pub(crate) once: bool,
}

impl Options {
    fn measure(&self, part: Part) -> Figures {
        self.measure_in(self.processes, part)
    }

    fn measure_in(&self, processes: usize, part: Part) -> Figures {
        let name = part.to_string();
        let mut arguments = vec![CHILD, &name];
        if self.once {
            arguments.push("--test");
        }
        Figures::measure(&arguments, processes)
    }

    /// This many keys, or few.
    fn keys(&self, keys: usize) -> usize {
        if self.once { 100 } else { keys }
    }
}

pub(crate) fn print(options: &Options) {
    println!(
        "\nNanoseconds of a request, net of the bare service. Medians of {} processes.",
        options.processes
    );
    requests(options);
    scopes(options);
    headers(options);
    extras(options);
    threads(options);
    end_to_end(options);
    memory(options);
}

/// One row of a markdown table.
fn row<T: Display>(name: &str, cells: impl IntoIterator<Item = T>) {
    let cells = cells.into_iter().map(|cell| format!(" {cell} |"));
    println!("| {name} |{}", cells.collect::<String>());
}

/// The first two rows.
fn head<T: Display>(name: &str, columns: &[T]) {
    println!();
    row(name, columns);
    println!("|{}", "---|".repeat(columns.len() + 1));
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn precise(value: f64) -> String {
    format!("{value:.2}")
}

fn requests(options: &Options) {
    let sizes = &options.sizes;
    let measured: Vec<Figures> = sizes
        .iter()
        .map(|&keys| options.measure(Part::Requests(keys)))
        .collect();
    head("keys, drawn at random", sizes);
    let time = |name: &str, figure: &str| {
        row(name, measured.iter().map(|it| whole(it.of(figure))));
    };
    let ratio = |name: &str, one: &str, other: &str| {
        row(
            name,
            measured.iter().map(|it| precise(it.ratio(one, other))),
        );
    };
    let valid = |candidate: Candidate| format!("valid/{}", candidate.name());
    for candidate in [Candidate::Floor, Candidate::Layer, Candidate::ByHand] {
        time(candidate.name(), &valid(candidate));
    }
    let (floor, by_hand) = (valid(Candidate::Floor), valid(Candidate::ByHand));
    let layer = valid(Candidate::Layer);
    ratio("layer without guard / floor", &layer, &floor);
    ratio("layer without guard / hand-written", &layer, &by_hand);
    for candidate in [Candidate::FloorGuard, Candidate::Default] {
        time(candidate.name(), &valid(candidate));
    }
    ratio(
        "layer / floor + 2 headers",
        &valid(Candidate::Default),
        &valid(Candidate::FloorGuard),
    );
    for presented in [Presented::Unknown, Presented::Malformed, Presented::Missing] {
        let name = presented.name();
        let figure = |candidate: Candidate| format!("{name}/{}", candidate.name());
        let layer = figure(Candidate::Default);
        time(&format!("{name} key: layer"), &layer);
        for rival in [Candidate::ByHand, Candidate::ByHandAlike] {
            let by_hand = figure(rival);
            time(&format!("{name} key: {}", rival.name()), &by_hand);
            let title = format!("{name} key: layer / {}", rival.name());
            ratio(&title, &layer, &by_hand);
        }
    }
}

fn scopes(options: &Options) {
    let measured = options.measure(Part::Scopes(options.keys(100)));
    head(
        "scopes of a key, of which the last is required",
        &SCOPE_COUNTS,
    );
    for candidate in [Candidate::Floor, Candidate::Layer, Candidate::ByHand] {
        let figure = |count| measured.of(&format!("{count}/{}", candidate.name()));
        row(
            candidate.name(),
            SCOPE_COUNTS.map(|count| whole(figure(count))),
        );
    }
    let figure = |candidate: Candidate| format!("all/{}", candidate.name());
    println!(
        "\nAll {REQUIRED} scopes of a key instead of one: {:.0} ns more.",
        measured.more(&figure(Candidate::AllScopes), &figure(Candidate::Layer)),
    );
}

fn headers(options: &Options) {
    let measured = options.measure(Part::Headers(options.keys(100)));
    head("headers of a request", &HEADERS);
    for candidate in [Candidate::Floor, Candidate::Layer, Candidate::ByHand] {
        let figure = |count| measured.of(&format!("{count}/{}", candidate.name()));
        row(candidate.name(), HEADERS.map(|count| whole(figure(count))));
    }
    let figure = |count: usize| format!("{count}/{}", Candidate::Layer.name());
    let (least, most) = (HEADERS[0], HEADERS[HEADERS.len() - 1]);
    let more = measured.more(&figure(most), &figure(least));
    let count = u32::try_from(most - least).unwrap();
    println!(
        "\nA header more: {:.1} ns in the layer.",
        more / f64::from(count)
    );
}

fn extras(options: &Options) {
    let keys = options.keys(10_000);
    let measured = options.measure(Part::Extras(keys));
    head(
        &format!("{keys} keys"),
        &["ns", "layer next to it", "ratio"],
    );
    for extra in EXTRAS {
        let name = extra.name();
        let figure = |candidate: Candidate| format!("{name}/{}", candidate.name());
        let (own, layer) = (figure(extra), figure(Candidate::Default));
        let ratio = measured.ratio(&own, &layer);
        let times = [&own, &layer].map(|it| whole(measured.of(it)));
        row(name, times.into_iter().chain([precise(ratio)]));
    }
}

fn threads(options: &Options) {
    let keys = options.keys(10_000);
    let measured = options.measure(Part::Threads(keys));
    let name = format!("two threads to one, {keys} keys, the bare service included");
    head(&name, &["random keys", "one hot key"]);
    for candidate in threads::CANDIDATES {
        let figure = |keys: &str| precise(measured.of(&format!("{keys}/{}", candidate.name())));
        row(candidate.name(), [figure("random"), figure("hot")]);
    }
}

fn end_to_end(options: &Options) {
    let keys = options.keys(10_000);
    let measured = options.measure(Part::EndToEnd(keys));
    let name = format!("requests a second of hyper on one core, {keys} keys");
    head(
        &name,
        &[
            "bare",
            "2 headers",
            "floor + 2 headers",
            "hand-written",
            "layer",
            "2 headers / bare",
            "floor + 2 headers / bare",
            "hand-written / bare",
            "layer / bare",
        ],
    );
    for by in ["clock", "processor"] {
        let [bare, others @ ..] = end_to_end::NAMES.map(|name| format!("{by}/{name}"));
        let rates = [&bare].into_iter().chain(&others);
        let rates = rates.map(|it| whole(measured.of(it)));
        let ratios = others.iter().map(|it| measured.ratio(it, &bare));
        let ratios = ratios.map(|ratio| format!("{ratio:.3}"));
        row(&format!("by the {by}"), rates.chain(ratios));
    }
}

fn memory(options: &Options) {
    let sizes: Vec<usize> = if options.once {
        vec![1_000]
    } else {
        let large = options.sizes.iter().copied();
        large.filter(|&keys| keys >= 1_000_000).collect()
    };
    head("bytes a key", &sizes);
    for kind in Kind::ALL {
        let bytes = sizes.iter().map(|&keys| {
            let measured = options.measure_in(1, Part::Memory(kind, keys));
            whole(measured.of(kind.name()))
        });
        row(kind.name(), bytes);
    }
}

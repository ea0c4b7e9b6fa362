//! The README is read in a repository, on a registry and in an editor.

const README: &str = include_str!("../../README.md");

#[test]
fn a_link_works_wherever_the_readme_is_read() {
    let targets = README.match_indices("](").map(|(at, opening)| {
        let target = &README[at + opening.len()..];
        &target[..target.find(')').expect("a link has an end")]
    });
    let headings: Vec<String> = README
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let mut links = 0;
    for target in targets {
        links += 1;
        match target.strip_prefix('#') {
            Some(heading) => assert!(
                headings.iter().any(|known| known == heading),
                "no heading {heading}"
            ),
            None => assert!(
                target.starts_with("https://"),
                "{target} is in one place alone"
            ),
        }
    }
    assert!(links > 1);
}

#[test]
fn a_reader_learns_how_to_add_the_crate_before_how_to_test_it() {
    let at = |text: &str| README.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(at("## Add it") < at("cargo run --example quickstart"));
    assert!(at("cargo run --example quickstart") < at("cargo test --workspace --all-features"));
}

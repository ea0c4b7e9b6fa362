//! The grammar of scopes, sets of them against a model, and requirements against an evaluator
//! of their own.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use tower_api_key::{ErrorKind, RequireScopeLayer, Requirement, Scope, ScopeSet};

/// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`, and at most 128 of them.
fn is_scope(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.chars().all(|character| {
            matches!(
                u32::from(character),
                0x21 | 0x23..=0x5B | 0x5D..=0x7E
            )
        })
}

/// Text that is a scope only by a small margin, if at all.
fn suspicious_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        8 => proptest::char::range('!', '~'),
        1 => select(vec!['"', '\\', ' ', ',', '*', '\0', '\t', '\r', '\n', '\u{7f}', '\u{a0}', 'é']),
        1 => any::<char>(),
    ];
    prop_oneof![
        3 => vec(character.clone(), 0..8),
        1 => vec(character, 120..136),
        1 => vec(proptest::char::range('a', 'z'), 126..131),
    ]
    .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn r30_a_scope_is_accepted_exactly_by_the_grammar(text in suspicious_text()) {
        let parsed: [Result<String, ErrorKind>; 4] = [
            Scope::new(&text).map(|scope| scope.as_str().to_owned()),
            text.parse::<Scope>().map(|scope| scope.to_string()),
            ScopeSet::new([&text]).map(|scopes| scopes.to_string()),
            Requirement::scope(&text).map(|requirement| requirement.to_string()),
        ]
        .map(|parsed| parsed.map_err(|error| error.kind()));
        for parsed in parsed {
            if is_scope(&text) {
                prop_assert_eq!(parsed, Ok(text.clone()));
            } else {
                prop_assert_eq!(parsed, Err(ErrorKind::InvalidScope), "{:?}", text);
            }
        }
    }

    #[test]
    fn r30_a_set_is_read_from_single_spaces_only(text in "[ab ]{0,6}") {
        let parsed = text.parse::<ScopeSet>().map_err(|error| error.kind());
        if text.is_empty() {
            prop_assert_eq!(parsed, Ok(ScopeSet::empty()));
        } else if text.split(' ').all(is_scope) {
            let model: BTreeSet<&str> = text.split(' ').collect();
            let parsed = parsed.unwrap();
            prop_assert_eq!(parsed.iter().collect::<BTreeSet<_>>(), model);
        } else {
            prop_assert_eq!(parsed, Err(ErrorKind::InvalidScope), "{:?}", text);
        }
    }
}

#[test]
fn r30_every_character_stands_in_a_scope_or_not() {
    for code in 0..=0x1_0000_u32 {
        let Some(character) = char::from_u32(code) else {
            continue;
        };
        for text in [format!("{character}"), format!("a{character}b")] {
            let refused = Scope::new(&text).map_or_else(|error| Some(error.kind()), |_| None);
            let expected = (!is_scope(&text)).then_some(ErrorKind::InvalidScope);
            assert_eq!(refused, expected, "{text:?}");
        }
    }
}

/// Scopes of few letters, so that many are parts of others.
fn scopes() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set("[ab:*]{1,3}", 0..12)
}

proptest! {
    #[test]
    fn r30_a_set_is_a_set_of_strings(
        model in scopes(),
        other in scopes(),
        order in any::<proptest::sample::Index>(),
        candidates in vec("[ab:* ]{0,4}", 0..32),
    ) {
        // In another order, and one of them twice.
        let mut given: Vec<&String> = model.iter().collect();
        if !given.is_empty() {
            let at = order.index(given.len());
            given.rotate_left(at);
            given.push(given[0]);
        }
        let set = ScopeSet::new(&given).unwrap();
        let joined = model.iter().map(String::as_str).collect::<Vec<_>>().join(" ");

        prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
        prop_assert_eq!(set.len(), model.len());
        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert_eq!(set.as_str(), &joined);
        prop_assert_eq!(set.to_string(), joined.clone());
        prop_assert_eq!(format!("{set:?}"), format!("{model:?}"));
        prop_assert_eq!(&joined.parse::<ScopeSet>().unwrap(), &set);

        let parts = (0..=joined.len()).flat_map(|end| (0..=end).map(move |start| (start, end)));
        let parts = parts.map(|(start, end)| joined[start..end].to_owned());
        for candidate in candidates.into_iter().chain(other.iter().cloned()).chain(parts) {
            prop_assert_eq!(
                set.contains(&candidate),
                model.contains(&candidate),
                "{:?} in {:?}", candidate, model
            );
        }

        let other_set = ScopeSet::new(&other).unwrap();
        prop_assert_eq!(set.is_subset(&other_set), model.is_subset(&other));
        prop_assert_eq!(other_set.is_subset(&set), other.is_subset(&model));
        prop_assert_eq!(set == other_set, model == other);
        let both = ScopeSet::new(model.union(&other)).unwrap();
        prop_assert!(set.is_subset(&both) && other_set.is_subset(&both));
    }
}

#[test]
fn r30_an_empty_set_grants_nothing() {
    let sets = [
        ScopeSet::empty(),
        ScopeSet::default(),
        "".parse().unwrap(),
        ScopeSet::new::<[&str; 0]>([]).unwrap(),
        [].into_iter().collect(),
    ];
    for set in sets {
        assert_eq!(set, ScopeSet::empty());
        assert_eq!((set.len(), set.is_empty(), set.as_str()), (0, true, ""));
        assert_eq!(set.iter().next(), None);
        for scope in ["", " ", "a", "*", "read"] {
            assert!(!set.contains(scope), "{scope:?}");
        }
        for scope in ["a", "*", "read"] {
            assert!(
                !Requirement::scope(scope).unwrap().is_met_by(&set),
                "{scope}"
            );
        }
    }
}

#[test]
fn r30_a_scope_matches_itself_and_nothing_else() {
    for (held, asked) in [
        ("*", "orders:read"),
        ("orders:*", "orders:read"),
        ("orders", "orders:read"),
        ("orders:read", "orders"),
        ("orders:read", "orders:*"),
        ("Orders:Read", "orders:read"),
        ("orders:read orders:write", "orders:reado"),
        ("read:orders", "orders:read"),
        ("orders:read,orders:write", "orders:read"),
        ("orders:rea", "orders:read"),
        ("orders:readx", "orders:read"),
    ] {
        let held: ScopeSet = held.parse().unwrap();
        assert!(!held.contains(asked), "{held} holds {asked}");
        assert!(
            !Requirement::scope(asked).unwrap().is_met_by(&held),
            "{held} meets {asked}"
        );
    }
    let held: ScopeSet = "a b".parse().unwrap();
    assert!(!held.contains("a b"), "two scopes are no scope");
}

/// A requirement in the form of a test.
#[derive(Debug, Clone)]
enum Tree {
    Scope(String),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn requirement(&self) -> Requirement {
        match self {
            Self::Scope(scope) => Requirement::scope(scope),
            Self::All(several) => Requirement::all(several.iter().map(Self::requirement)),
            Self::Any(several) => Requirement::any(several.iter().map(Self::requirement)),
        }
        .unwrap()
    }

    fn is_met_by(&self, scopes: &BTreeSet<String>) -> bool {
        match self {
            Self::Scope(scope) => scopes.contains(scope),
            Self::All(several) => !several.iter().any(|one| !one.is_met_by(scopes)),
            Self::Any(several) => !several.iter().all(|one| !one.is_met_by(scopes)),
        }
    }

    fn text(&self) -> String {
        let join = |several: &[Self], word: &str| {
            let texts: Vec<String> = several
                .iter()
                .map(|one| match one {
                    Self::Scope(scope) => scope.clone(),
                    nested => format!("({})", nested.text()),
                })
                .collect();
            texts.join(word)
        };
        match self {
            Self::Scope(scope) => scope.clone(),
            Self::All(several) => join(several, " and "),
            Self::Any(several) => join(several, " or "),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    "[abcdef]"
        .prop_map(Tree::Scope)
        .prop_recursive(4, 32, 4, |nested| {
            prop_oneof![
                vec(nested.clone(), 1..5).prop_map(Tree::All),
                vec(nested, 1..5).prop_map(Tree::Any),
            ]
        })
}

proptest! {
    #[test]
    fn r30_a_requirement_is_its_own_logic(
        tree in trees(),
        sets in vec(btree_set("[abcdef]", 0..6), 16),
    ) {
        let requirement = tree.requirement();
        prop_assert_eq!(requirement.to_string(), tree.text());
        prop_assert!(!requirement.is_met_by(&ScopeSet::empty()));
        for set in sets {
            let scopes = ScopeSet::new(&set).unwrap();
            prop_assert_eq!(
                requirement.is_met_by(&scopes),
                tree.is_met_by(&set),
                "{} by {}", requirement, scopes
            );
        }
    }
}

#[test]
fn r15_a_requirement_of_nothing_is_not_built() {
    let nothing: [&str; 0] = [];
    let built = [
        (Requirement::all(nothing), ErrorKind::EmptyRequirement),
        (Requirement::any(nothing), ErrorKind::EmptyRequirement),
        (Requirement::all([""]), ErrorKind::InvalidScope),
        (Requirement::any(["read", "a b"]), ErrorKind::InvalidScope),
        (Requirement::scope(""), ErrorKind::InvalidScope),
    ];
    for (built, kind) in built {
        assert_eq!(built.unwrap_err().kind(), kind);
    }
}

#[test]
#[should_panic(expected = "invalid scope: use 1 to 128 visible ASCII characters without space")]
fn r15_a_guard_of_no_scope_ends_the_start_of_the_program() {
    let _ = RequireScopeLayer::new("");
}

#[test]
fn a_set_is_read_back_as_it_is_written() {
    for (text, written) in [
        ("read", "read"),
        ("read read", "read"),
        ("read write", "read write"),
        ("write read", "read write"),
        ("read write write", "read write"),
    ] {
        let scopes: ScopeSet = text.parse().unwrap();
        assert_eq!(scopes.as_str(), written, "{text}");
    }
}

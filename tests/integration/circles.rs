//! No file of a package needs a file that needs it in turn: a reader can begin anywhere and reads downwards.
//! The direction between the rooms is held in `rooms`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module, such as `["ring", "verify"]`. The root is empty.
type Module = Vec<String>;

/// What each module needs.
type Needs<'a> = BTreeMap<&'a Module, BTreeSet<Module>>;

#[derive(Default)]
struct Package {
    /// The code of each module, with the trees of its imports written out.
    modules: BTreeMap<Module, String>,
    /// The names that a module exports of others, each with its path.
    exports: BTreeMap<(Module, String), String>,
}

impl Package {
    fn read(&mut self, folder: &Path, at: &Module) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let mut module = at.clone();
            if !["lib", "main", "mod"].contains(&name) {
                module.push(name.to_owned());
            }
            if path.is_dir() {
                self.read(&path, &module);
            } else if path.extension().is_some_and(|it| it == "rs") && name != "tests" {
                self.parse(module, &fs::read_to_string(path).unwrap());
            }
        }
    }

    fn parse(&mut self, module: Module, text: &str) {
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = text.lines().filter(|it| {
            !["//", "mod ", "pub mod "]
                .iter()
                .any(|start| it.trim_start().starts_with(start))
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        // Without the texts of literals.
        let text = text.replace("\\\"", "").replace("'\"'", "");
        let text: String = text.split('"').step_by(2).collect();
        let mut code = String::new();
        for item in text.split(';') {
            let lines = item.split_inclusive('\n');
            let is_import = |line: &&str| {
                let words = line.trim_start();
                words.starts_with("use ")
                    || (words.starts_with("pub") && words.contains(") use "))
                    || words.starts_with("pub use ")
            };
            let before = lines
                .take_while(|line| !is_import(line))
                .map(str::len)
                .sum();
            let (before, import) = item.split_at(before);
            code += before;
            let Some((visibility, tree)) = import.split_once("use ") else {
                continue;
            };
            if before.trim_end().ends_with("#[cfg(doc)]") {
                continue;
            }
            for path in leaves(tree.trim()) {
                let name = path.rsplit([':', ' ']).next().unwrap().to_owned();
                if visibility.trim().is_empty() {
                    code.extend([path.as_str(), "\n"]);
                } else if path != name {
                    self.exports.insert((module.clone(), name), path);
                }
            }
        }
        *self.modules.entry(module).or_default() += &code;
    }

    /// The module that holds what a path names, seen from another one.
    fn resolve(&self, from: &Module, path: &str) -> Option<Module> {
        let mut names = path.split("::").filter(|name| !name.is_empty()).peekable();
        let mut at = from.clone();
        match *names.peek()? {
            "crate" | "self" | "super" if !path.contains("::") => return None,
            "crate" => at.clear(),
            "self" | "super" => {}
            first => {
                let child = [&at[..], &[first.to_owned()]].concat();
                let is_ours = self.exports.contains_key(&(at.clone(), first.to_owned()));
                let is_child = path.contains("::") && self.modules.contains_key(&child);
                if !is_ours && !is_child {
                    return None;
                }
            }
        }
        for name in names {
            let below = [&at[..], &[name.to_owned()]].concat();
            match name {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                _ if self.modules.contains_key(&below) => at = below,
                _ => match self.exports.get(&(at.clone(), name.to_owned())) {
                    Some(path) => return self.resolve(&at, path).or(Some(at)),
                    None => break,
                },
            }
        }
        Some(at)
    }

    /// The modules that each module needs.
    fn needs(&self) -> Needs<'_> {
        let is_path = |it: char| it.is_alphanumeric() || it == '_' || it == ':';
        let needs = self.modules.iter().map(|(module, code)| {
            let paths = code.split(|it| !is_path(it));
            let needed = paths.filter_map(|path| self.resolve(module, path));
            (module, needed.filter(|it| it != module).collect())
        });
        needs.collect()
    }

    /// Each module of a circle, with the next one.
    fn circles(&self) -> Vec<(Module, Module)> {
        let needs = self.needs();
        let pairs = needs.iter().flat_map(|(&module, needed)| {
            let back = needed
                .iter()
                .filter(|it| reached(&needs, it).contains(module));
            back.map(|other| (module.clone(), other.clone()))
        });
        pairs.collect()
    }
}

/// The paths of a tree of imports.
fn leaves(tree: &str) -> Vec<String> {
    let Some((start, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let (mut depth, mut found) = (0, Vec::new());
    let branches = rest.strip_suffix('}').unwrap().split_inclusive(|it| {
        depth += i32::from(it == '{') - i32::from(it == '}');
        it == ',' && depth == 0
    });
    let branches = branches.map(|it| it.trim().trim_end_matches(','));
    // After a comma at the end there is none.
    for branch in branches.filter(|it| !it.is_empty()) {
        found.extend(leaves(branch).iter().map(|leaf| format!("{start}{leaf}")));
    }
    found
}

/// What a module needs, and what that needs.
fn reached(needs: &Needs<'_>, from: &Module) -> BTreeSet<Module> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(module) = ahead.pop() {
        let needed = needs.get(module).into_iter().flatten();
        ahead.extend(needed.filter(|it| reached.insert((*it).clone())));
    }
    reached
}

#[test]
fn no_two_files_need_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = fs::read_dir(root.join("crates")).unwrap();
    let mut folders: Vec<_> = crates.map(|it| it.unwrap().path().join("src")).collect();
    folders.push(root.join("src"));
    let mut needed = 0;
    for folder in folders {
        let mut package = Package::default();
        package.read(&folder, &Module::new());
        needed += package.needs().values().map(BTreeSet::len).sum::<usize>();
        assert_eq!(package.circles(), [], "{}", folder.display());
    }
    assert!(needed > 500, "{needed}");
}

#[test]
fn a_circle_is_found_whatever_names_it() {
    for (first, second) in [
        ("use super::second::Second;", "use crate::first::First;"),
        (
            "use super::{Second, third::Third};",
            "fn f(it: super::first::First) {}",
        ),
        ("use crate::third::Third;", "use super::First;"),
    ] {
        let mut package = Package::default();
        let root = "mod first;\nmod second;\npub use first::First;\npub(crate) use second::Second;";
        package.parse(Vec::new(), root);
        package.parse(vec!["first".to_owned()], first);
        package.parse(vec!["second".to_owned()], second);
        package.parse(vec!["third".to_owned()], "use crate::Second;");
        let found = package.circles();
        assert!(
            found.iter().any(|(module, _)| module[..] == ["first"]),
            "{first}"
        );
        assert!(
            !found.iter().any(|(module, _)| module.is_empty()),
            "{found:?}"
        );
    }
}

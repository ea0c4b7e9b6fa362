//! The figures of several processes.

use std::collections::BTreeMap;
use std::process::Command;

use crate::measure::median;
use crate::part::{CHILD, Part};

/// The values of each figure, one of each process.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    /// Measures a part in this many processes, one after the other: where code and data lie differs between
    /// them, and with it the times.
    pub(crate) fn measure(part: Part, processes: usize, once: bool) -> Self {
        let mut figures = Self::default();
        for _ in 0..processes {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([CHILD, &part.to_string()]);
            if once {
                command.arg("--test");
            }
            let output = command.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{part}: {errors}");
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let (name, value) = line.split_once('\t').expect("a name and a value");
                let values = figures.0.entry(name.to_owned()).or_default();
                values.push(value.parse().unwrap());
            }
        }
        figures
    }

    fn values(&self, name: &str) -> &[f64] {
        let values = self.0.get(name);
        values.unwrap_or_else(|| panic!("no figure {name} in {:?}", self.0.keys()))
    }

    /// The median over the processes.
    pub(crate) fn of(&self, name: &str) -> f64 {
        median(self.values(name).to_vec())
    }

    /// The median of what each process gives for two figures.
    fn of_both(&self, one: &str, other: &str, by: fn(f64, f64) -> f64) -> f64 {
        let pairs = self.values(one).iter().zip(self.values(other));
        median(pairs.map(|(one, other)| by(*one, *other)).collect())
    }

    pub(crate) fn ratio(&self, one: &str, other: &str) -> f64 {
        self.of_both(one, other, |one, other| one / other)
    }

    pub(crate) fn more(&self, one: &str, other: &str) -> f64 {
        self.of_both(one, other, |one, other| one - other)
    }
}

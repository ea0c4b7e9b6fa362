//! The figures of several processes.

use std::collections::BTreeMap;
use std::process::Command;

use crate::turns::median;

/// The values of each figure, one of each process.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    /// Runs this program with these arguments in so many processes, one after the other: where code and data
    /// lie differs between them, and with it the times. A process prints a line for each figure: its name, a
    /// tab, its value.
    pub fn measure(arguments: &[&str], processes: usize) -> Self {
        let mut figures = Self::default();
        for _ in 0..processes {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let output = command.args(arguments).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {errors}");
            figures.read(&String::from_utf8(output.stdout).unwrap());
        }
        figures
    }

    fn read(&mut self, lines: &str) {
        for line in lines.lines() {
            let (name, value) = line.split_once('\t').expect("a name and a value");
            let values = self.0.entry(name.to_owned()).or_default();
            values.push(value.parse().unwrap());
        }
    }

    fn values(&self, name: &str) -> &[f64] {
        let values = self.0.get(name);
        values.unwrap_or_else(|| panic!("no figure {name} in {:?}", self.0.keys()))
    }

    /// The median over the processes.
    pub fn of(&self, name: &str) -> f64 {
        median(self.values(name).to_vec())
    }

    /// The median of the ratios of each process.
    pub fn ratio(&self, one: &str, other: &str) -> f64 {
        self.of_both(one, other, |one, other| one / other)
    }

    /// The median of the differences of each process.
    pub fn more(&self, one: &str, other: &str) -> f64 {
        self.of_both(one, other, |one, other| one - other)
    }

    fn of_both(&self, one: &str, other: &str, by: fn(f64, f64) -> f64) -> f64 {
        let pairs = self.values(one).iter().zip(self.values(other));
        median(pairs.map(|(one, other)| by(*one, *other)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_one_of_the_same_process() {
        let mut figures = Figures::default();
        for lines in ["a\t1\nb\t2\n", "a\t9\nb\t3\n", "a\t4\nb\t4\n"] {
            figures.read(lines);
        }
        let found = [
            figures.of("a"),
            figures.ratio("a", "b"),
            figures.more("a", "b"),
        ];
        assert_eq!(
            found.map(f64::to_bits),
            [4.0_f64, 1.0, 0.0].map(f64::to_bits)
        );
    }
}

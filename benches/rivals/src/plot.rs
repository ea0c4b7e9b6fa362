//! A plot of lines over two logarithmic axes, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 550.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 370.0;
/// The height of a line of text.
const LINE: f64 = 14.0;
const COLOURS: [&str; 7] = [
    "#0b6e4f", "#5fbf95", "#c1292e", "#1f5fbf", "#8a4fbf", "#b8860b", "#555555",
];

/// The decades in which all values are.
struct Axis {
    first: f64,
    last: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, start: f64, end: f64) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let most = values.fold(0.0, f64::max).log10().ceil();
        Self {
            first: least,
            last: most.max(least + 1.0),
            start,
            end,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - self.first) / (self.last - self.first);
        self.start + part * (self.end - self.start)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        let (first, last) = (self.first as i32, self.last as i32);
        (first..=last).map(|power| 10_f64.powi(power))
    }
}

/// Nanoseconds over numbers of keys. A line has a name and its points, whose values are positive.
pub(crate) fn svg(lines: &[(&str, Vec<(f64, f64)>)]) -> String {
    let points = lines.iter().flat_map(|(_, points)| points.iter().copied());
    let keys = Axis::over(points.clone().map(|(keys, _)| keys), LEFT, RIGHT);
    let time = Axis::over(points.map(|(_, time)| time), BOTTOM, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for decade in keys.decades() {
        let x = keys.at(decade);
        grid(&mut svg, (x, TOP), (x, BOTTOM));
        text(
            &mut svg,
            (x, BOTTOM + 18.0),
            "middle",
            "#333",
            &decade.to_string(),
        );
    }
    for decade in time.decades() {
        let y = time.at(decade);
        grid(&mut svg, (LEFT, y), (RIGHT, y));
        text(
            &mut svg,
            (LEFT - 8.0, y + 4.0),
            "end",
            "#333",
            &format!("{decade} ns"),
        );
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    text(
        &mut svg,
        (middle, BOTTOM + 38.0),
        "middle",
        "#333",
        "keys, drawn at random",
    );
    let mut labels = Vec::new();
    for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", keys.at(*x), time.at(*y)))
            .collect();
        let path = path.join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        if let Some((x, y)) = points.last() {
            labels.push((keys.at(*x) + 6.0, time.at(*y) + 4.0, *colour, *name));
        }
    }
    labels.sort_by(|(_, y, ..), (_, other, ..)| y.total_cmp(other));
    let mut last = f64::NEG_INFINITY;
    for (x, y, colour, name) in labels {
        // Below the one before, if they would overlap.
        last = y.max(last + LINE);
        text(&mut svg, (x, last), "start", colour, name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn grid(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_at_its_decade() {
        let axis = Axis::over([100.0, 5_000.0].into_iter(), 0.0, 10.0);
        assert_eq!(
            [100.0, 1_000.0, 10_000.0].map(|it| axis.at(it).round()),
            [0.0, 5.0, 10.0]
        );
        let svg = svg(&[("a", vec![(100.0, 200.0), (1_000.0, 300.0)])]);
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(svg.contains(">a</text>") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn labels_do_not_overlap() {
        let line = |name, time| (name, vec![(100.0, 50.0), (1_000.0, time)]);
        let svg = svg(&[line("a", 210.0), line("b", 200.0), line("c", 205.0)]);
        let labels = svg
            .lines()
            .filter(|line| line.contains("text-anchor=\"start\""));
        let heights: Vec<f64> = labels
            .map(|line| line.split('"').nth(3).unwrap().parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 3);
        assert!(
            heights
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= LINE - 0.1)
        );
    }
}

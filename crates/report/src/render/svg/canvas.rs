//! What every figure is drawn with.

use std::fmt::{Display, Write};

use crate::render::html::escape;

const STYLE: &str = "<style>\
.nf{font:13px system-ui,sans-serif;--ink:#1b1f23;--soft:#5b6570;--grid:#d9dee3;--paper:#fff;\
--blue:#0072b2;--orange:#b8590a;--fill:#0072b2}\
@media(prefers-color-scheme:dark){.nf{--ink:#e8eaed;--soft:#a3adb8;--grid:#3a424b;--paper:#15181c;\
--blue:#56b4e9;--orange:#f0a95b;--fill:#2f8fcb}}\
.nf text{fill:var(--ink)}.nf .soft{fill:var(--soft)}.nf .on{fill:#fff}\
.nf .blue{fill:var(--blue)}.nf .orange{fill:var(--orange)}\
.nf .grid{stroke:var(--grid)}.nf .axis{stroke:var(--soft)}\
.nf .line{fill:none;stroke-width:2;stroke:var(--blue)}\
.nf .mark{fill:none;stroke-width:2;stroke:var(--orange)}\
.nf .dash{stroke-dasharray:5 4}.nf .cell{fill:var(--fill)}.nf .frame{fill:none;stroke:var(--grid)}\
.nf .own{fill:none;stroke:var(--soft);stroke-width:1.5}\
</style>";

/// Where a text hangs on its point.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

impl Anchor {
    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// An SVG that grows; coordinates in pixels from the top left.
pub struct Canvas {
    text: String,
}

impl Canvas {
    /// `title` is what a reader who cannot see the figure is told.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escape(title);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"nf\" role=\"img\" \
             aria-label=\"{title}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\"><title>{title}</title>{STYLE}\n"
        );
        Self { text }
    }

    /// An element as it is written.
    pub fn push(&mut self, element: impl Display) {
        writeln!(self.text, "{element}").expect("a String takes every line");
    }

    /// Words, escaped.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (anchor, text) = (anchor.word(), escape(text));
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.push(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    /// A line through points.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    /// A rectangle by its upper left corner and its sides.
    pub fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             class=\"{class}\"/>"
        ));
    }

    /// The whole SVG.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// A plotting area and the ranges it shows.
pub struct Axes {
    /// Pixels of the left, top, right and bottom edge.
    pub edges: [f64; 4],
    /// Lowest and highest number across.
    pub x: (f64, f64),
    /// Lowest and highest number upwards.
    pub y: (f64, f64),
}

impl Axes {
    /// The pixel of a pair of numbers.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, right, bottom] = self.edges;
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        (left + share(x, self.x) * (right - left), bottom - share(y, self.y) * (bottom - top))
    }

    /// Grid, numbers and names of both axes.
    pub fn draw(&self, canvas: &mut Canvas, x_name: &str, y_name: &str) {
        let [left, top, right, bottom] = self.edges;
        for (value, label) in ticks(self.y) {
            let (_, y) = self.at(self.x.0, value);
            canvas.line("grid", (left, y), (right, y));
            canvas.text((left - 8.0, y + 4.0), Anchor::End, "soft", &label);
        }
        for (value, label) in ticks(self.x) {
            let (x, _) = self.at(value, self.y.0);
            canvas.line("axis", (x, bottom), (x, bottom + 4.0));
            canvas.text((x, bottom + 18.0), Anchor::Middle, "soft", &label);
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text((f64::midpoint(left, right), bottom + 38.0), Anchor::Middle, "", x_name);
        canvas.text((left - 36.0, top - 12.0), Anchor::Start, "", y_name);
    }
}

/// Four to eight round numbers in a range, as they are written.
fn ticks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return Vec::new();
    }
    let power = 10.0_f64.powf((span / 4.0).log10().floor());
    let step = [5.0, 2.0, 1.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| span / step >= 4.0)
        .unwrap_or(power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| (k as f64 * step, format!("{:.decimals$}", k as f64 * step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |range| ticks(range).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels((0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels((0.0, 600.0)), ["0", "100", "200", "300", "400", "500", "600"]);
        assert_eq!(labels((0.13, 0.38)), ["0.15", "0.20", "0.25", "0.30", "0.35"]);
        assert!(labels((1.0, 1.0)).is_empty() && labels((0.0, f64::NAN)).is_empty());
    }

    #[test]
    fn titles_are_escaped() {
        let svg = Canvas::new(1.0, 1.0, "a < \"b\"").finish();
        assert!(svg.contains("<title>a &lt; &quot;b&quot;</title>"));
    }
}

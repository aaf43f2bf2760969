//! What every figure is drawn with.

use std::{
    fmt::{self, Display, Write},
    ops::Deref,
};

use crate::escape::escape;

/// The style of every figure: a page holds it once, a figure that stands alone has its own.
pub(crate) const FIGURE_STYLE: &str = include_str!("figure.css");

/// A drawing, whose words were escaped when it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// As a file of its own, with its style.
    pub fn standalone(&self) -> String {
        let style = format!("</title><style>{FIGURE_STYLE}</style>");
        self.0.replacen("</title>", &style, 1)
    }
}

impl Deref for Svg {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a text hangs on its point.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
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
pub(crate) struct Canvas {
    text: String,
}

impl Canvas {
    /// `title` is what a reader who cannot see the figure is told.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        Self::of_role("img", width, height, title)
    }

    /// The same for a figure that holds links: the parts of a picture are hidden from readers who hear it.
    pub(crate) fn with_links(width: f64, height: f64, title: &str) -> Self {
        Self::of_role("group", width, height, title)
    }

    fn of_role(role: &str, width: f64, height: f64, title: &str) -> Self {
        let title = escape(title);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"nf\" role=\"{role}\" \
             aria-label=\"{title}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\"><title>{title}</title>\n"
        );
        Self { text }
    }

    /// An element as it is written.
    pub(crate) fn push(&mut self, element: impl Display) {
        writeln!(self.text, "{element}").expect("a String takes every line");
    }

    /// Words, escaped.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (anchor, text) = (anchor.word(), escape(text));
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.push(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    /// A line through points.
    pub(crate) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    /// A rectangle by its upper left corner and its sides.
    pub(crate) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             class=\"{class}\"/>"
        ));
    }

    /// The whole SVG.
    pub(crate) fn finish(mut self) -> Svg {
        self.text.push_str("</svg>\n");
        Svg(self.text)
    }
}

/// A plotting area and the ranges it shows.
pub(crate) struct Axes {
    /// Pixels of the left, top, right and bottom edge.
    pub(crate) edges: [f64; 4],
    /// Lowest and highest number across.
    pub(crate) x: (f64, f64),
    /// Lowest and highest number upwards.
    pub(crate) y: (f64, f64),
}

impl Axes {
    /// The pixel of a pair of numbers.
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, right, bottom] = self.edges;
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        (left + share(x, self.x) * (right - left), bottom - share(y, self.y) * (bottom - top))
    }

    /// Grid, numbers and name of the axis upwards.
    pub(crate) fn draw_upwards(&self, canvas: &mut Canvas, y_name: &str) {
        let [left, top, right, _] = self.edges;
        for (value, label) in ticks(self.y) {
            let (_, y) = self.at(self.x.0, value);
            canvas.line("grid", (left, y), (right, y));
            canvas.text((left - 8.0, y + 4.0), Anchor::End, "soft", &label);
        }
        canvas.text((left - 36.0, top - 12.0), Anchor::Start, "", y_name);
    }

    /// Grid, numbers and names of both axes.
    pub(crate) fn draw(&self, canvas: &mut Canvas, x_name: &str, y_name: &str) {
        let [left, _, right, bottom] = self.edges;
        self.draw_upwards(canvas, y_name);
        for (value, label) in ticks(self.x) {
            let (x, _) = self.at(value, self.y.0);
            canvas.line("axis", (x, bottom), (x, bottom + 4.0));
            canvas.text((x, bottom + 18.0), Anchor::Middle, "soft", &label);
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text((f64::midpoint(left, right), bottom + 38.0), Anchor::Middle, "", x_name);
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
        let (svg, alone) = (svg.to_string(), svg.standalone());
        assert!(!svg.contains("<style>") && alone.matches("</style>").count() == 1);
        assert!(svg.contains("<title>a &lt; &quot;b&quot;</title>"));
    }
}

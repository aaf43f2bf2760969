//! Numbers of lines, which a served page lets a reader zoom into.

use serde_json::{Value, json};

/// Lines over one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// What the axis is.
    pub x: &'static str,
    /// Places along it, as many as each line has values.
    pub at: Vec<f64>,
    /// What each line is, with its unit, and its values, NaN where it has none.
    pub lines: Vec<(String, Vec<f64>)>,
    /// Whether values stand alone, as those of blocks do, and not on a line.
    pub are_points: bool,
}

impl Curves {
    /// For the attribute of a figure. Five digits are more than a screen shows.
    pub(crate) fn json(&self) -> String {
        let short = |x: &f64| match format!("{x:.4e}").parse::<f64>() {
            Ok(short) if short.is_finite() => json!(short),
            _ => Value::Null,
        };
        let numbers = |values: &[f64]| values.iter().map(short).collect::<Vec<_>>();
        let lines = self.lines.iter().map(|(name, y)| json!({ "name": name, "y": numbers(y) }));
        json!({
            "x": self.x,
            "at": numbers(&self.at),
            "lines": lines.collect::<Vec<_>>(),
            "are_points": self.are_points,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_curves_are_short_and_missing_ones_are_null() {
        let lines =
            vec![("loss (nats)".to_owned(), vec![1.0 / 3.0, f64::NAN, 1e-7, f64::INFINITY])];
        let curves =
            Curves { x: "step", at: vec![0.0, 10.0, 20.0, 300_000.0], lines, are_points: false };
        assert_eq!(
            curves.json(),
            r#"{"x":"step","at":[0.0,10.0,20.0,300000.0],"lines":[{"name":"loss (nats)","y":[0.33333,null,1e-7,null]}],"are_points":false}"#
        );
    }
}

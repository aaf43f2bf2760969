//! How often the surest answers are wrong.

use report::metrics::RiskCoverage;

use super::canvas::{Axes, Canvas, Svg};

/// The share of wrong answers among those of at least a confidence, over the share of answers that have it.
pub(crate) fn risk_coverage(curve: &RiskCoverage) -> Svg {
    let title = format!("Risk over coverage, area under the curve {:.2}", curve.area);
    let axes = Axes { edges: [60.0, 40.0, 460.0, 300.0], x: (0.0, 1.0), y: (0.0, 1.0) };
    let mut canvas = Canvas::new(500.0, 350.0, &title);
    axes.draw(&mut canvas, "share of answers given", "share of these that is wrong");
    let points: Vec<(f64, f64)> =
        curve.points.iter().map(|it| axes.at(it.coverage, it.risk)).collect();
    canvas.path("line", &points);
    for (point, (x, y)) in curve.points.iter().zip(&points) {
        canvas.push(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" class=\"blue\"><title>confidence of at least {:.2}: {:.2} of \
             the answers, {:.2} of them wrong</title></circle>",
            point.confidence, point.coverage, point.risk
        ));
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_a_confidence() {
        let curve = report::metrics::risk_coverage(&[0.9, 0.8, 0.3], &[true, true, false]).unwrap();
        let svg = risk_coverage(&curve);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(
            svg.contains("confidence of at least 0.30: 1.00 of the answers, 0.33 of them wrong")
        );
        assert!(svg.contains("area under the curve 0.11"));
    }
}

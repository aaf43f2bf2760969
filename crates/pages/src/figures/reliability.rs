//! Stated confidence against how often it was right.

use super::canvas::{Anchor, Axes, Canvas, Svg};
use report::metrics::Reliability;

/// A point a bin, its area the number of reports in it; calibrated bins lie on the diagonal.
pub(crate) fn reliability(reliability: &Reliability) -> Svg {
    let n: usize = reliability.bins.iter().map(|bin| bin.n).sum();
    let title =
        format!("Reliability of {n} answers, expected calibration error {:.2}", reliability.ece);
    let axes = Axes { edges: [60.0, 40.0, 360.0, 340.0], x: (0.0, 1.0), y: (0.0, 1.0) };
    let mut canvas = Canvas::new(400.0, 390.0, &title);
    axes.draw(&mut canvas, "confidence", "share of right answers");
    canvas.line("axis dash", axes.at(0.0, 0.0), axes.at(1.0, 1.0));
    let points: Vec<(f64, f64)> =
        reliability.bins.iter().map(|bin| axes.at(bin.confidence, bin.accuracy)).collect();
    canvas.path("line", &points);
    for (bin, (x, y)) in reliability.bins.iter().zip(&points) {
        let radius = (4.0 * (bin.n as f64).sqrt()).clamp(4.0, 16.0);
        canvas.push(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" class=\"cell\" fill-opacity=\"0.85\">\
             <title>{} answers, confidence {:.2}, right {:.2}</title></circle>",
            bin.n, bin.confidence, bin.accuracy
        ));
    }
    let corner = (axes.edges[2], axes.edges[1] - 12.0);
    canvas.text(corner, Anchor::End, "", &format!("ECE {:.2}, n={n}", reliability.ece));
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::metrics::ReliabilityBin;

    #[test]
    fn a_point_a_bin() {
        let bins = vec![
            ReliabilityBin { n: 8, confidence: 0.4, accuracy: 0.25 },
            ReliabilityBin { n: 8, confidence: 0.9, accuracy: 1.0 },
        ];
        let svg = reliability(&Reliability { ece: 0.125, bins });
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("8 answers, confidence 0.40, right 0.25"));
        assert!(svg.contains("ECE 0.12, n=16"));
    }
}

//! How the fit went.

use super::canvas::{Anchor, Axes, Canvas, Svg};

/// Losses at one step, in nats a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Optimizer steps so far.
    pub step: usize,
    /// On the training windows.
    pub train: Option<f64>,
    /// On the validation windows, which select the step.
    pub validation: Option<f64>,
}

/// Training loss as a line, loss on the validation windows dashed with points, and the best of these.
pub(crate) fn loss_curve(points: &[CurvePoint]) -> Svg {
    let column = |loss: fn(&CurvePoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let finite = |point: &CurvePoint| {
            loss(point).filter(|loss| loss.is_finite()).map(|loss| (point.step as f64, loss))
        };
        points.iter().filter_map(finite).collect()
    };
    let (train, validation) = (column(|point| point.train), column(|point| point.validation));
    let all = || train.iter().chain(&validation);
    let low = all().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min).min(0.0);
    let high = all().map(|(_, loss)| *loss).fold(f64::NEG_INFINITY, f64::max);
    let last = all().map(|(step, _)| *step).fold(1.0, f64::max);
    if !high.is_finite() {
        return Canvas::new(640.0, 40.0, "No losses were recorded").finish();
    }

    let best = validation.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let title = match best {
        Some((step, loss)) => {
            format!("Loss over {last} steps, best on validation windows {loss:.3} at step {step}")
        }
        None => format!("Training loss over {last} steps"),
    };
    let top = if high > low { high + 0.05 * (high - low) } else { low + 1.0 };
    let axes = Axes { edges: [60.0, 40.0, 540.0, 260.0], x: (0.0, last), y: (low, top) };
    let mut canvas = Canvas::new(640.0, 310.0, &title);
    axes.draw(&mut canvas, "step", "nats a token");
    let ends: Vec<f64> = label_heights(&axes, &train, &validation);
    for (idx, (losses, class, ink, name)) in
        [(&train, "line", "blue", "training"), (&validation, "mark dash", "orange", "validation")]
            .into_iter()
            .enumerate()
    {
        let points: Vec<(f64, f64)> = losses.iter().map(|&(x, y)| axes.at(x, y)).collect();
        let Some(&(x, _)) = points.last() else { continue };
        canvas.path(class, &points);
        canvas.text((x + 8.0, ends[idx] + 4.0), Anchor::Start, ink, name);
    }
    if let Some((step, loss)) = best {
        let (x, y) = axes.at(step, loss);
        canvas.push(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" class=\"orange\"/>"));
        canvas.text((x, y - 12.0), Anchor::Middle, "orange", &format!("best {loss:.3}"));
    }
    canvas.finish()
}

/// Heights of the two names at the ends of the lines, kept a line of text apart.
fn label_heights(axes: &Axes, train: &[(f64, f64)], validation: &[(f64, f64)]) -> Vec<f64> {
    const APART: f64 = 16.0;
    let height = |losses: &[(f64, f64)]| losses.last().map(|&(x, y)| axes.at(x, y).1);
    match (height(train), height(validation)) {
        (Some(a), Some(b)) if (a - b).abs() < APART => {
            let (middle, sign) = (f64::midpoint(a, b), if a <= b { 0.5 } else { -0.5 });
            vec![middle - sign * APART, middle + sign * APART]
        }
        (a, b) => vec![a.unwrap_or(0.0), b.unwrap_or(0.0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_losses_and_the_best_step_are_shown() {
        let point = |step, train, validation| CurvePoint { step, train, validation };
        let svg = loss_curve(&[
            point(1, Some(3.0), None),
            point(10, Some(1.0), Some(1.5)),
            point(20, Some(0.5), Some(1.25)),
            point(30, Some(f64::NAN), Some(1.4)),
        ]);
        assert!(svg.contains("best on validation windows 1.250 at step 20"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">training<") && svg.contains(">validation<") && !svg.contains("NaN"));
    }

    #[test]
    fn no_losses_make_an_empty_figure() {
        assert!(loss_curve(&[]).contains("No losses were recorded"));
    }
}

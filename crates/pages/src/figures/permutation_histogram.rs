//! Accuracy with the right scans against accuracy with scans dealt at random.

use super::canvas::{Anchor, Axes, Canvas, Svg};

const MAX_BARS: usize = 40;

/// How often each accuracy occurs among `shuffled` deals of `n_windows` scans, and the `real` one.
pub(crate) fn permutation_histogram(real: f64, shuffled: &[f64], n_windows: usize) -> Svg {
    let n_bars = n_windows.clamp(1, MAX_BARS);
    let mut counts = vec![0_usize; n_bars + 1];
    for draw in shuffled {
        counts[(draw.clamp(0.0, 1.0) * n_bars as f64).round() as usize] += 1;
    }
    let n_draws = shuffled.len().max(1) as f64;
    let largest = counts.iter().copied().max().unwrap_or(0).max(1) as f64 / n_draws;
    let mean = shuffled.iter().sum::<f64>() / n_draws;

    let half = 0.5 / n_bars as f64;
    let axes = Axes {
        edges: [60.0, 60.0, 600.0, 260.0],
        x: (-half, 1.0 + half),
        y: (0.0, largest * 1.05),
    };
    let title = format!(
        "Accuracy {real:.2} with the right scans; {mean:.2} on average over {} deals of shuffled scans",
        shuffled.len()
    );
    let mut canvas = Canvas::new(640.0, 310.0, &title);
    axes.draw(&mut canvas, "accuracy of the scored slot", "share of deals");
    for (bar, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let accuracy = bar as f64 / n_bars as f64;
        let (left, top) = axes.at(accuracy - 0.85 * half, count as f64 / n_draws);
        let (right, bottom) = axes.at(accuracy + 0.85 * half, 0.0);
        canvas.rect("cell", (left, top), (right - left, bottom - top));
    }
    for (value, class, name, height) in
        [(mean, "axis dash", "shuffled", 40.0), (real, "mark", "right scans", 22.0)]
    {
        let (x, _) = axes.at(value.clamp(0.0, 1.0), 0.0);
        canvas.line(class, (x, height + 6.0), (x, axes.edges[3]));
        let (anchor, gap) = if value > 0.75 { (Anchor::End, -6.0) } else { (Anchor::Start, 6.0) };
        let class = if name == "shuffled" { "soft" } else { "orange" };
        canvas.text((x + gap, height + 8.0), anchor, class, &format!("{name} {value:.2}"));
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_accuracies_can_be() {
        let svg = permutation_histogram(0.75, &[0.0, 0.25, 0.25, 0.5], 4);
        assert_eq!(svg.matches("class=\"cell\"").count(), 3);
        assert!(svg.contains("right scans 0.75") && svg.contains("shuffled 0.25"));
        assert!(svg.contains("over 4 deals"));
    }

    #[test]
    fn nothing_and_everything_are_drawn_without_nan() {
        for svg in
            [permutation_histogram(0.0, &[], 0), permutation_histogram(1.0, &vec![1.0; 1000], 500)]
        {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}

//! How far the gates are open through which a language model looks at a scan.

use report::evidence::GateOpening;

use super::canvas::{Anchor, Axes, Canvas, Svg};

/// A pair of bars a block: attention and feed-forward, from −1 to 1. None without gates.
pub(crate) fn gates(gates: &[GateOpening]) -> Option<Svg> {
    let most = gates.iter().flat_map(|it| [it.attention, it.feed_forward]);
    let most = most.map(f64::abs).filter(|it| it.is_finite()).fold(0.0, f64::max);
    let n = gates.len();
    if n == 0 {
        return None;
    }
    let title = format!("Openings of the gates of {n} blocks, {most:.3} at most");
    let width = (90.0 * n as f64).clamp(240.0, 900.0);
    let reach = if most > 0.0 { 1.1 * most } else { 1.0 };
    let axes = Axes {
        edges: [70.0, 50.0, 70.0 + width, 250.0],
        x: (-0.5, n as f64 - 0.5),
        y: (-reach, reach),
    };
    let mut canvas = Canvas::new(width + 100.0, 290.0, &title);
    axes.draw_upwards(&mut canvas, "tanh of the gate");
    for (at, (class, name)) in [("cell", "attention"), ("own", "feed-forward")].iter().enumerate() {
        let left = axes.edges[0] + 130.0 * at as f64 + 120.0;
        canvas.rect(class, (left, 14.0), (12.0, 12.0));
        canvas.text((left + 18.0, 25.0), Anchor::Start, "", name);
    }
    let (_, zero) = axes.at(0.0, 0.0);
    canvas.line("axis", (axes.edges[0], zero), (axes.edges[2], zero));
    for (at, gate) in gates.iter().enumerate() {
        for (class, value, shift) in
            [("cell", gate.attention, -0.3), ("own", gate.feed_forward, 0.05)]
        {
            if !value.is_finite() {
                continue;
            }
            let (left, top) = axes.at(at as f64 + shift, value);
            let (right, _) = axes.at(at as f64 + shift + 0.25, value);
            let (above, below) = (top.min(zero), top.max(zero));
            canvas.rect(class, (left, above), (right - left, (below - above).max(0.5)));
        }
        let (middle, _) = axes.at(at as f64, 0.0);
        let label = format!("block {}", gate.block);
        canvas.text((middle, axes.edges[3] + 20.0), Anchor::Middle, "soft", &label);
    }
    Some(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_upwards_is_a_gate_above_zero() {
        let of = |block, attention, feed_forward| GateOpening { block, attention, feed_forward };
        let svg = gates(&[of(0, 0.2, -0.1), of(3, 0.0, 0.1)]).unwrap();
        assert!(svg.contains("2 blocks, 0.200 at most") && svg.contains(">block 3<"));
        // two in the legend
        assert_eq!(svg.matches("<rect").count(), 6);
        // the greatest of ±0.22 around the middle of 50 and 250 pixels
        let bar = svg.lines().filter(|it| it.contains("class=\"cell\"")).nth(1).unwrap();
        assert!(bar.contains("y=\"59.1\"") && bar.contains("height=\"90.9\""), "{bar}");
        assert!(gates(&[]).is_none());
    }
}

//! How much of each parcel a scan has data of.

use std::fmt::Write as _;

use super::canvas::{Anchor, Axes, Canvas, Svg};

/// A bar a parcel in this order, from 0 to 1, with the names of networks below; none without parcels.
pub fn coverage(shares: &[f64], order: &[usize], networks: &[(String, usize)]) -> Option<Svg> {
    const WIDTH: f64 = 760.0;
    let n = order.len();
    if n == 0 || shares.len() != n {
        return None;
    }
    let whole = shares.iter().filter(|it| **it >= 0.995).count();
    let empty = shares.iter().filter(|it| **it == 0.0).count();
    let title = format!("Coverage of {n} parcels: {whole} whole, {empty} without data");
    let axes = Axes { edges: [60.0, 30.0, 60.0 + WIDTH, 130.0], x: (0.0, n as f64), y: (0.0, 1.0) };
    let mut canvas = Canvas::new(WIDTH + 80.0, 165.0, &title);
    axes.draw_upwards(&mut canvas, "share with data");
    let mut bars = String::new();
    for (at, &parcel) in order.iter().enumerate() {
        let (left, top) = axes.at(at as f64, shares[parcel].clamp(0.0, 1.0));
        let (right, bottom) = axes.at(at as f64 + 1.0, 0.0);
        write!(bars, "M{left:.1} {bottom:.1}V{top:.1}H{right:.1}V{bottom:.1}Z")
            .expect("a String takes everything");
    }
    canvas.push(format_args!("<path class=\"cell\" fill-opacity=\"0.8\" d=\"{bars}\"/>"));
    let mut first = 0;
    for (name, n_parcels) in networks {
        let (left, bottom) = axes.at(first as f64, 0.0);
        let (right, _) = axes.at((first + n_parcels) as f64, 0.0);
        canvas.line("axis", (left, bottom), (left, bottom + 6.0));
        // about seven pixels a character
        if right - left > 7.0 * name.chars().count() as f64 {
            let middle = f64::midpoint(left, right);
            canvas.text((middle, bottom + 20.0), Anchor::Middle, "soft", name);
        }
        first += n_parcels;
    }
    Some(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_parcel_is_covered() {
        let networks = [("Vis".to_owned(), 2), ("Default".to_owned(), 1)];
        let svg = coverage(&[1.0, 0.0, 0.5], &[2, 0, 1], &networks).unwrap();
        assert!(svg.contains("Coverage of 3 parcels: 1 whole, 1 without data"));
        // from 30 to 130 pixels: half is at 80, all at 30, nothing at 130
        for part in ["M60.0 130.0V80.0H313.3", "V30.0H566.7", "V130.0H820.0", ">Default<"] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert!(coverage(&[1.0], &[0, 1], &[]).is_none() && coverage(&[], &[], &[]).is_none());
    }
}

//! Motion against signal of every recording, each a link to its person.

use super::canvas::{Axes, Canvas, Svg};
use crate::escape::escape;

/// A recording as a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// What it is called where the pointer rests on it.
    pub name: String,
    /// The page of its person.
    pub page: String,
    /// Mean framewise displacement in mm.
    pub mean_fd_mm: f64,
    /// Median temporal signal-to-noise ratio.
    pub median_tsnr: f64,
    /// Parcels without data.
    pub n_lost: usize,
}

/// Displacement to the right, signal-to-noise upwards, larger points for more lost parcels; none of
/// fewer than two recordings.
pub fn outliers(recordings: &[Outlier]) -> Option<Svg> {
    let known: Vec<&Outlier> = recordings
        .iter()
        .filter(|it| it.mean_fd_mm.is_finite() && it.median_tsnr.is_finite())
        .collect();
    if known.len() < 2 {
        return None;
    }
    let most = |of: fn(&Outlier) -> f64| known.iter().map(|it| of(it)).fold(0.0, f64::max);
    let (fd_mm, tsnr) = (most(|it| it.mean_fd_mm), most(|it| it.median_tsnr));
    let above = |value: f64| if value > 0.0 { 1.05 * value } else { 1.0 };
    let axes =
        Axes { edges: [70.0, 40.0, 620.0, 320.0], x: (0.0, above(fd_mm)), y: (0.0, above(tsnr)) };
    let title = format!("Mean displacement and median tSNR of {} recordings", known.len());
    let mut canvas = Canvas::new(660.0, 370.0, &title);
    axes.draw(&mut canvas, "mean framewise displacement (mm)", "median tSNR");
    let most_lost = known.iter().map(|it| it.n_lost).max().unwrap_or_default().max(1);
    for it in known {
        let (x, y) = axes.at(it.mean_fd_mm, it.median_tsnr);
        let radius = 4.0 + 6.0 * it.n_lost as f64 / most_lost as f64;
        canvas.push(format_args!(
            "<a href=\"{}\"><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" class=\"blue\" \
             fill-opacity=\"0.6\"><title>{}: {:.2} mm, tSNR {:.0}, {} lost</title></circle></a>",
            escape(&it.page),
            escape(&it.name),
            it.mean_fd_mm,
            it.median_tsnr,
            it.n_lost
        ));
    }
    Some(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recording_links_to_its_person() {
        let of = |name: &str, mean_fd_mm: f64| Outlier {
            name: name.to_owned(),
            page: format!("sub-{name}.html"),
            mean_fd_mm,
            median_tsnr: 50.0,
            n_lost: 0,
        };
        let svg = outliers(&[of("a<b", 0.1), of("02", 0.4), of("03", f64::NAN)]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("href=\"sub-a&lt;b.html\"") && svg.contains("02: 0.40 mm, tSNR 50"));
        assert!(outliers(&[of("01", 0.1)]).is_none());
    }
}

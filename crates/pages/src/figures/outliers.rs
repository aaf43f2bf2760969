//! Motion against signal of every recording, each a link to its person.

use std::fmt::Write as _;

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
    /// Mean probability of what texts about it state, where there are texts.
    pub probability: Option<f64>,
}

/// Points that are links; where there are more, those nearest to the middle are dots.
const MOST_LINKS: usize = 1000;

/// Displacement to the right, signal-to-noise upwards, larger points for more lost parcels, less
/// transparent ones for more probable texts; none of fewer than two recordings.
pub fn outliers(recordings: &[Outlier]) -> Option<Svg> {
    let mut known: Vec<&Outlier> = recordings
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
    let mut canvas = Canvas::with_links(660.0, 370.0, &title);
    axes.draw(&mut canvas, "mean framewise displacement (mm)", "median tSNR");
    let most_lost = known.iter().map(|it| it.n_lost).max().unwrap_or_default().max(1);
    let median = |of: fn(&Outlier) -> f64| {
        let mut all: Vec<f64> = known.iter().map(|it| of(it)).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let middle = (median(|it| it.mean_fd_mm), median(|it| it.median_tsnr));
    let from_middle = |it: &Outlier| {
        let (x, y) =
            ((it.mean_fd_mm - middle.0) / above(fd_mm), (it.median_tsnr - middle.1) / above(tsnr));
        x.hypot(y)
    };
    // those far from the middle last: they lie above the others, and the first of many are dots
    known.sort_by(|a, b| from_middle(a).total_cmp(&from_middle(b)));
    let (dots, links) = known.split_at(known.len().saturating_sub(MOST_LINKS));
    let mut path = String::new();
    for it in dots {
        let (x, y) = axes.at(it.mean_fd_mm, it.median_tsnr);
        write!(path, "M{x:.0} {y:.0}h0").expect("a String takes everything");
    }
    if !path.is_empty() {
        canvas.push(format_args!("<path class=\"dots\" d=\"{path}\"/>"));
    }
    for it in links {
        let (x, y) = axes.at(it.mean_fd_mm, it.median_tsnr);
        let radius = 4.0 + 6.0 * it.n_lost as f64 / most_lost as f64;
        let said = it.probability.map_or_else(String::new, |p| format!(", probability {p:.2}"));
        let name = format!(
            "{}: {:.2} mm, tSNR {:.0}, {} lost{said}",
            it.name, it.mean_fd_mm, it.median_tsnr, it.n_lost
        );
        let (name, page) = (escape(&name), escape(&it.page));
        canvas.push(format_args!(
            "<a href=\"{page}\" aria-label=\"{name}\"><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" \
             class=\"blue\" fill-opacity=\"{:.2}\"><title>{name}</title></circle></a>",
            it.probability.map_or(0.6, |p| 0.15 + 0.8 * p.clamp(0.0, 1.0)),
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
            probability: None,
        };
        let svg = outliers(&[of("a<b", 0.1), of("02", 0.4), of("03", f64::NAN)]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("href=\"sub-a&lt;b.html\"") && svg.contains("02: 0.40 mm, tSNR 50"));
        assert!(outliers(&[of("01", 0.1)]).is_none());
        let sure = Outlier { probability: Some(0.5), ..of("04", 0.2) };
        let svg = outliers(&[of("01", 0.1), sure]).unwrap();
        assert!(svg.contains("probability 0.50") && svg.contains("fill-opacity=\"0.55\""));
    }

    #[test]
    fn of_thousands_those_far_from_the_middle_are_links() {
        let of = |idx: usize| Outlier {
            name: format!("sub-{idx:05}_bold.nii.gz"),
            page: format!("sub-{idx:05}.html"),
            mean_fd_mm: 0.2 + if idx == 77 { 3.0 } else { (idx % 100) as f64 / 1000.0 },
            median_tsnr: 50.0 + (idx % 7) as f64,
            n_lost: 0,
            probability: None,
        };
        let svg = outliers(&(0..10_000).map(of).collect::<Vec<_>>()).unwrap();
        assert_eq!((svg.matches("<a ").count(), svg.matches("h0").count()), (1000, 9000));
        assert!(svg.contains("href=\"sub-00077.html\"") && svg.len() < 500_000, "{}", svg.len());
    }
}

//! How one recording looks: what was measured of it, and figures.
use ndarray::Array2;
use pages::{
    Carpet, Figure, Matrix, RecordingView, SliceView, Svg, carpet, coverage, glass_brain, matrix,
    slices,
};
use preprocess::{EDGE_OF_DATA, EDGE_OF_PARCEL, Measured, SeriesFacts, Slice, StoredSeries};

use super::{
    drawing::Drawing,
    volumes::{self, VolumeBytes},
};
use crate::{Result, stage::SeriesSet};

/// Pixels of a side of a thumbnail.
const THUMBNAIL: usize = 64;

/// A recording, and what the list of everybody says of it.
pub(super) struct Drawn {
    pub(super) view: RecordingView,
    /// The mean image, for a file beside the page.
    pub(super) mean: Option<VolumeBytes>,
    pub(super) n_frames: usize,
    pub(super) n_lost: Option<usize>,
    /// A PNG, and what it shows.
    pub(super) thumbnail: Option<(Vec<u8>, String)>,
}

/// A recording whose series of parcels were kept, or else one that is voxels of a mask.
pub(super) fn draw(drawing: &Drawing<'_>, idx: usize) -> Result<Drawn> {
    let parcels = drawing.media.parcels.as_ref();
    match parcels.and_then(|it| Some((it, it.units[idx].as_ref()?))) {
        Some((parcels, unit)) => Ok(of_parcels(drawing, idx, parcels, &StoredSeries::read(unit)?)),
        None => of_voxels(drawing, idx),
    }
}

fn figure(title: &str, svg: Svg, shows: String, good: &'static str, bad: &'static str) -> Figure {
    Figure { title: title.to_owned(), svg, shows, good, bad, curves: None }
}

fn of_parcels(
    drawing: &Drawing<'_>,
    idx: usize,
    parcels: &SeriesSet,
    series: &StoredSeries,
) -> Drawn {
    let (about, facts) = (&parcels.about, &series.facts);
    let after = format!("The series are those after {}.", drawing.after);
    let fd_mm = series.fd_mm.as_ref().filter(|it| it.len() == series.values.nrows());
    let signals = Carpet {
        series: series.values.view(),
        order: &drawing.order,
        t_r_s: facts.t_r_s,
        fd_mm: fd_mm.map(|it| it.view()),
        what: "parcels",
    };
    let views = views(&series.slices);
    let mut missing = Vec::new();
    let mut figures = Vec::new();
    match slices(&views) {
        Some(svg) => figures.push(of_slices(svg)),
        None => missing.push(
            "No slices of the mean image: the scan is no run of volumes on the grid of an atlas.",
        ),
    }
    figures.push(of_carpet("Series of all parcels", "parcel", &signals, &after));
    if fd_mm.is_none() {
        missing.push(
            "No framewise displacement: no table of confounds or motion beside the scan says it.",
        );
    }
    match &facts.coverage {
        Some(shares) => figures.extend(coverage(shares, &drawing.order, &drawing.networks).map(|svg| {
            let shows = "The share of each parcel that the scan has data of, parcels in the order of the other figures.";
            let (good, bad) = (
                "all bars at 1.",
                "bars missing on one side or in one network: the scan’s field of view ends there, or the atlas is of another space.",
            );
            figure("Coverage of the parcels", svg, shows.to_owned(), good, bad)
        })),
        None => missing.push("No coverage of parcels: the file is a series of parcels, and no table beside it says what they cover."),
    }
    let correlations = series.correlations(&about.parcels).ok();
    let drawn = correlations.as_ref().map(|it| Matrix {
        values: it.view(),
        order: &drawing.order,
        networks: &drawing.networks,
    });
    if let Some(it) = &drawn {
        let shows = format!(
            "Correlations of the series, by network where the atlas names some: blue −1, white 0, red 1. {after}"
        );
        let (good, bad) = (
            "blocks along the diagonal, both hemispheres alike.",
            "one colour everywhere (a signal that all parcels share, such as motion), or grey stripes (parcels without data).",
        );
        figures.push(figure("How parcels go together", matrix(it), shows, good, bad));
    }
    let places = preprocess::places(&about.parcels);
    let glass = correlations
        .as_ref()
        .zip(places.as_ref())
        .and_then(|(it, places)| glass_brain(places, &means(it), "Mean correlation"));
    match glass {
        Some(svg) => {
            let shows = format!(
                "Points lie at the centres of parcels; larger and darker ones go more with the rest of the brain (red) or against it (blue). {after}"
            );
            let (good, bad) = (
                "both sides alike.",
                "one side or one pole that stands out, or points outside the outline (an atlas of another space).",
            );
            let title = "Mean correlation of each parcel with the others";
            figures.push(figure(title, svg, shows, good, bad));
        }
        None if places.is_none() => {
            missing.push("No glass brain: nothing says where the parcels are.");
        }
        None => {}
    }
    if drawing.measured.is_some() {
        missing.push("Parcels are not coloured by attribution: no stage of this run says which parcels a text leaned on.");
    }
    let picture = match views.last() {
        Some(axial) => Some((axial.picture(0), "axial slice of the mean image")),
        None => drawn.map(|it| (it.picture(), "correlations of the parcels")),
    };
    let thumbnail =
        picture.and_then(|(it, shows)| Some((it.reduced(THUMBNAIL).png()?, shows.to_owned())));
    Drawn {
        view: RecordingView {
            name: drawing.media.scans()[idx].name.clone(),
            facts: facts_of_series(parcels, facts),
            figures,
            missing: missing.into_iter().map(str::to_owned).collect(),
            volumes: Vec::new(),
        },
        mean: None,
        n_frames: series.values.nrows(),
        n_lost: Some(facts.lost.len()),
        thumbnail,
    }
}

/// Slices as pages draw them.
fn views(slices: &[Slice]) -> Vec<SliceView> {
    let view = |it: &Slice| {
        let bits = |edges: &u8| {
            let bit = |of, is| if edges & of == 0 { 0 } else { is };
            bit(EDGE_OF_DATA, SliceView::DATA) | bit(EDGE_OF_PARCEL, SliceView::PARCEL)
        };
        SliceView {
            name: format!("{} = {:.0} mm", ["x", "y", "z"][it.across], it.place_mm.round() + 0.0),
            shape: it.shape,
            zooms_mm: it.zooms_mm,
            grey: it.grey.clone(),
            edges: it.edges.iter().map(bits).collect(),
        }
    };
    slices.iter().map(view).collect()
}

fn of_slices(svg: Svg) -> Figure {
    let shows = "Slices of the mean image where most of the atlas lies, left is left: above with the edge of what \
                 holds data (yellow), below with the edges of the parcels that are read (blue).";
    let (good, bad) = (
        "parcels follow the brain, and folds and ventricles are where they belong.",
        "parcels beside the brain, turned or mirrored, or cut off by the edge of the data.",
    );
    figure("Where the scan lies", svg, shows.to_owned(), good, bad)
}

fn of_carpet(title: &str, row: &str, signals: &Carpet<'_>, after: &str) -> Figure {
    let shows = format!(
        "Each row is a {row}, each column a frame; grey runs from two standard deviations below its mean (black) to \
         two above it (white). Above it, framewise displacement where it is known, DVARS and the global signal. {after}"
    );
    let bad = "vertical bands in many rows at once, most of all below a peak of displacement.";
    let drawn = figure(title, carpet(signals), shows, "fine grain without edges.", bad);
    Figure { curves: Some(signals.curves()), ..drawn }
}

/// Each parcel's mean correlation with the others.
fn means(correlations: &Array2<f64>) -> Vec<f64> {
    let mean = |parcel: usize| {
        let row = correlations.row(parcel);
        let others = row.iter().enumerate().filter(|(other, _)| *other != parcel);
        let known: Vec<f64> = others.map(|(_, x)| *x).filter(|x| x.is_finite()).collect();
        known.iter().sum::<f64>() / known.len() as f64
    };
    (0..correlations.nrows()).map(mean).collect()
}

/// One whose voxels within a mask are read directly.
fn of_voxels(drawing: &Drawing<'_>, idx: usize) -> Result<Drawn> {
    let media = drawing.media;
    let quality = media.quality.get(idx).and_then(Option::as_ref).expect("it was read");
    let measured = Measured::of_figures(quality);
    let (mut figures, mut missing) = (Vec::new(), Vec::new());
    match media.voxels.as_ref().and_then(|it| it.units[idx].as_ref()) {
        Some(unit) => {
            let series = StoredSeries::read(unit)?;
            let order: Vec<usize> = (0..series.values.ncols()).collect();
            let fd_mm = series.fd_mm.as_ref().filter(|it| it.len() == series.values.nrows());
            let signals = Carpet {
                series: series.values.view(),
                order: &order,
                t_r_s: series.facts.t_r_s,
                fd_mm: fd_mm.map(|it| it.view()),
                what: "voxels",
            };
            let after = format!("The series are those after {}.", drawing.after);
            figures.push(of_carpet("Series of the voxels of the mask", "voxel", &signals, &after));
            if fd_mm.is_none() {
                missing.push(
                    "No framewise displacement: no table of confounds was read for this scan.",
                );
            }
        }
        None => missing.push("No carpet plot: no stage of this run keeps series of the scan."),
    }
    missing.push("No matrix of connectivity and no glass brain: no stage of this run divides the brain into parcels.");
    let mean = volumes::mean(media, idx).unwrap_or_else(|_| {
        // the rest of the page needs no scan
        missing.push(volumes::UNREADABLE);
        None
    });
    Ok(Drawn {
        view: RecordingView {
            name: media.scans()[idx].name.clone(),
            facts: facts(&measured),
            figures,
            missing: missing.into_iter().map(str::to_owned).collect(),
            volumes: mean.as_ref().map_or_else(Vec::new, volumes::files),
        },
        mean,
        n_frames: measured.n_frames,
        n_lost: None,
        thumbnail: None,
    })
}

/// What was measured of any recording.
fn facts(measured: &Measured) -> Vec<(String, String)> {
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or("not known".to_owned(), |it| format!("{it:.decimals$}"))
    };
    let (n_frames, t_r_s) = (measured.n_frames, measured.t_r_s);
    let seconds = n_frames as f64 * t_r_s;
    [
        ("Repetition time", format!("{} s", scan::seconds(t_r_s))),
        ("Frames", format!("{n_frames} ({} s)", scan::seconds(seconds))),
        ("Mean framewise displacement (mm)", number(measured.fd_mean_mm, 3)),
        ("Median tSNR", number(measured.median_tsnr, 1)),
        ("Median DVARS (%)", number(measured.median_dvars_percent, 2)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn facts_of_series(parcels: &SeriesSet, facts_: &SeriesFacts) -> Vec<(String, String)> {
    // frames and their distance as they were in the file
    let quality = &facts_.quality;
    let measured =
        Measured { n_frames: quality.n_frames, t_r_s: quality.t_r, ..Measured::of_series(facts_) };
    let all = &parcels.about.parcels;
    let of_parcel =
        |label: &i32| all.iter().find(|it| it.label == *label).map(|it| it.name.as_str());
    let names: Vec<&str> = facts_.lost.iter().filter_map(of_parcel).collect();
    let lost = match names.len() {
        0 => "none".to_owned(),
        n => format!("{n}: {}", names.join(", ")),
    };
    let mut rows = facts(&measured);
    let covered =
        measured.coverage.map_or("not known".to_owned(), |it| format!("{:.1} %", 100.0 * it));
    rows.push(("Mean coverage of the parcels".to_owned(), covered));
    rows.push(("Parcels without data".to_owned(), lost));
    rows
}

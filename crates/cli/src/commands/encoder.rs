//! `encoder check`.
use anyhow::Result;
use pipeline::{CheckedEncoder, EncoderCheck, SeriesFiles};

use super::{Done, pipeline::stop_on_signals};
use crate::{args::EncoderCheckArgs, print, progress::Progress};

pub(super) fn check(args: &EncoderCheckArgs, verbose: bool) -> Result<Done> {
    let how = EncoderCheck { mask_ratio: args.mask_ratio, seed: args.seed };
    let stop = stop_on_signals()?;
    let mut progress = Progress::new(verbose);
    let checked = if let Some(pipeline) = &args.pipeline {
        let encoder = args.encoder.as_deref();
        pipeline::check_encoder(pipeline, &args.set, encoder, how, &mut progress, &stop)
    } else {
        let asked = "clap asks for it";
        let series = SeriesFiles {
            files: &args.series,
            coordinates: args.coordinates.as_deref().expect(asked),
            t_r: args.t_r,
            normalise: args.normalise,
            window: args.window,
        };
        let encoder = args.encoder.as_deref().expect(asked);
        pipeline::check_encoder_on_series(encoder, &series, how, &mut progress, &stop)
    };
    progress.done();
    let checked = checked?;
    if args.json {
        print::json(&serde_json::to_value(&checked)?)?;
    } else {
        print::out(&table(&checked))?;
        print::note(verdict(&checked));
    }
    Ok(if checked.n_failed > 0 { Done::Some } else { Done::All })
}

/// One line a scan, and one for all.
fn table(checked: &CheckedEncoder) -> String {
    let CheckedEncoder { encoder, mask_ratio, seed, n_frames, scans, all, .. } = checked;
    let n_windows = scans.iter().map(|scan| scan.n_windows).sum();
    let rows = scans.iter().map(|scan| (scan.name.as_str(), scan.n_windows, &scan.fit));
    let rows: Vec<_> = rows.chain([("all", n_windows, all)]).collect();
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).max(4);
    let mut lines = vec![
        format!(
            "{encoder}: {:.0} % of the patches hidden, seed {seed}, windows of {n_frames} frames",
            100.0 * mask_ratio
        ),
        format!("{:width$}  windows       R²  parcel mean  frame mean", "scan"),
    ];
    lines.extend(rows.iter().map(|(name, n, fit)| {
        let (parcel, frame) = (fit.r2_parcel_mean, fit.r2_frame_mean);
        format!("{name:width$}  {n:7}  {:7.3}  {parcel:11.3}  {frame:10.3}", fit.r2)
    }));
    lines.join("\n")
}

fn verdict(checked: &CheckedEncoder) -> &'static str {
    let all = &checked.all;
    if all.r2 > all.r2_parcel_mean.max(all.r2_frame_mean).max(0.0) {
        "the model fills in hidden patches better than both predictors that have learned nothing"
    } else {
        "the model is no better than a predictor that has learned nothing: compare atlas, coordinates, \
         normalisation and repetition time with those of its training"
    }
}

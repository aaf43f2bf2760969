//! What a model is shown of a scan, in the words of prompts and reports.
use preprocess::{Cut, Seen};
use report::{generated::Window, prompt::Technique};
use scan::ImageQualityMetrics;

/// How a scan was acquired, for the words before its report; of an event its window alone is shown.
pub(crate) fn technique(quality: &ImageQualityMetrics, cut: Option<&Cut>) -> Technique {
    Technique {
        t_r_s: quality.t_r,
        n_volumes: cut.and_then(Cut::events).map_or(quality.n_frames, |it| it.n_frames),
        n_voxels: quality.n_voxels,
        median_tsnr: quality.median_tsnr,
    }
}

/// A report's window: the frames that were seen, and of the scan the stretch that they take.
pub(crate) fn window(seen: &Seen, scan: &str, (onset_s, duration_s): (f64, f64)) -> Window {
    Window::new(scan, onset_s, duration_s).of_frames(seen.frames.clone())
}

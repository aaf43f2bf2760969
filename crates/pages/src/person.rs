//! The page of a person: what was written about them, what was measured of each recording, and how it looks.

use askama::Template;
use report::{evidence::Verdict, tables::Table};

use crate::{
    findings::Line,
    html::{Figure, Frame},
    reports::{ReportView, Shown},
};

/// Reports that take more than this are left to their files: a page stays below 5 MB.
const MOST_BYTES: usize = 2_000_000;

/// Recordings whose figures would take more than this are shown without them.
const MOST_FIGURES: usize = 2_500_000;

/// Everything a person's page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonPage {
    /// Whose it is, as the cohort calls the person.
    pub subject: String,
    /// The name of the run.
    pub run: String,
    /// Whether the run's texts depend on the scan, where that was measured.
    pub verdict: Option<Verdict>,
    /// What was answered about them: question and window, then cells.
    pub answers: Table,
    /// One entry a window.
    pub reports: Vec<ReportView>,
    /// Recordings that were read.
    pub recordings: Vec<RecordingView>,
    /// Recordings that were not, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// What was done, in words that may be pasted into a paper.
    pub boilerplate: String,
    /// What came from what: name and value.
    pub provenance: Vec<(String, String)>,
}

/// A recording and its figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingView {
    /// The name of its file.
    pub name: String,
    /// What was measured: name and value.
    pub facts: Vec<(String, String)>,
    /// What can be drawn of it.
    pub figures: Vec<Figure>,
    /// What cannot, each with the reason, as sentences.
    pub missing: Vec<String>,
    /// Volumes of it beside the page, what lies below the others first.
    pub volumes: Vec<VolumeFile>,
}

/// A volume that a served page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFile {
    /// What it is.
    pub name: &'static str,
    /// The file, relative to the page.
    pub path: String,
    /// Whether it is drawn in colour over the first.
    pub is_overlay: bool,
}

#[derive(Template)]
#[template(path = "person.html")]
struct Rendered<'a> {
    frame: Frame,
    page: &'a PersonPage,
    verdict: Option<Line>,
    reports: Vec<Shown<'a>>,
    n_beyond: usize,
    has_slots: bool,
    recordings: Vec<ShownRecording<'a>>,
}

struct ShownRecording<'a> {
    view: &'a RecordingView,
    figures: &'a [Figure],
}

impl PersonPage {
    /// The whole page.
    pub fn html(&self) -> String {
        let answer = self.verdict.as_ref().map(|it| it.answer);
        let mut reports: Vec<Shown<'_>> = Vec::new();
        let mut n_bytes = 0;
        for report in &self.reports {
            let shown = report.shown(answer);
            n_bytes += shown.n_bytes();
            if n_bytes > MOST_BYTES && !reports.is_empty() {
                break;
            }
            reports.push(shown);
        }
        let rendered = Rendered {
            frame: Frame::new(format!("Subject {}", self.subject)),
            page: self,
            verdict: self.verdict.as_ref().map(Line::of),
            n_beyond: self.reports.len() - reports.len(),
            recordings: self.shown(),
            has_slots: reports.iter().any(|it| !it.slots.is_empty()),
            reports,
        };
        rendered.render().expect("a String takes everything")
    }

    /// The recordings, with figures as long as there is room.
    fn shown(&self) -> Vec<ShownRecording<'_>> {
        let mut n_bytes = 0;
        let shown = |view: &'_ RecordingView| {
            let n_bytes_of = |it: &Figure| {
                // escaped for an attribute, where quotation marks take six bytes
                let curves = it.curves.as_ref().map_or(0, |it| it.json().len() + 500);
                it.svg.len() + curves + 1000
            };
            let own: usize = view.figures.iter().map(n_bytes_of).sum();
            n_bytes += own;
            n_bytes <= MOST_FIGURES
        };
        let has_room: Vec<bool> = self.recordings.iter().map(shown).collect();
        let recordings = self.recordings.iter().zip(has_room);
        let shown = recordings.map(|(view, has_room)| ShownRecording {
            view,
            figures: if has_room { &view.figures } else { &[] },
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use report::{
        generated::{DISCLAIMER, Disclaimer, GeneratedReport, GeneratedSlot, Window},
        slots::SlotReading,
    };

    use super::*;
    use crate::{
        figures::{Carpet, Curves, WindowMap, carpet},
        leaning::{Leaning, LeaningPlace, LeaningToken},
        reports::SlotView,
    };

    fn report(text: &str) -> ReportView {
        let reading = SlotReading::Stated { value: "face".to_owned(), form_idx: 0, range: 0..4 };
        let probabilities = [("face".to_owned(), 0.625), ("cat".to_owned(), 0.375)].into();
        let rows = vec![vec![0.0, 1.0], vec![1.0, 0.5]];
        ReportView {
            report: GeneratedReport {
                disclaimer: Disclaimer,
                subject: "1".to_owned(),
                session: Some("11".to_owned()),
                window: Window::new("bold.nii.gz", 252.742, 12.0),
                prompt: String::new(),
                given: report::prompt::Labels::new(),
                text: text.to_owned(),
                slots: vec![GeneratedSlot::new("viewed", &reading, probabilities, None)],
                model_id: "tiny".to_owned(),
                data_digest: "sha256:0123".to_owned(),
                seed: 7,
            },
            slots: vec![SlotView {
                is_scored: true,
                truth: Some("face".to_owned()),
                is_right: Some(true),
                is_grounded: None,
            }],
            truth: Some("Findings: the pattern fits faces.".to_owned()),
            map: Some(WindowMap { rows, zooms_mm: [3.0, 3.0], caption: "slice".to_owned() }),
            beside: vec![
                ("With the scan of somebody else".to_owned(), text.to_owned()),
                ("Without a scan".to_owned(), "Findings: <none>.".to_owned()),
            ],
            leaning: Some(Leaning {
                gain_nats: 1.5,
                agreement: Some(0.25),
                tokens: vec![LeaningToken {
                    text: " <faces>".to_owned(),
                    difference: 0.75,
                    looks_at: "Vis_1 (0.25)".to_owned(),
                }],
                places: vec![LeaningPlace {
                    name: "Vis_1".to_owned(),
                    said: ["0.25", "n/a", "1.50"].map(str::to_owned),
                }],
            }),
        }
    }

    fn page(reports: Vec<ReportView>) -> PersonPage {
        let series = ndarray::array![[1.0, 10.0], [2.0, 10.0], [3.0, 10.0], [4.0, 18.0]];
        let carpet = carpet(&Carpet {
            series: series.view(),
            order: &[1, 0],
            t_r_s: 2.0,
            fd_mm: None,
            what: "parcels",
        });
        PersonPage {
            subject: "<script>alert(1)</script>".to_owned(),
            run: "rest & task".to_owned(),
            reports,
            recordings: vec![RecordingView {
                name: "sub-01_bold.nii.gz".to_owned(),
                facts: vec![("TR".to_owned(), "2 s".to_owned())],
                figures: vec![Figure {
                    title: "Series of all parcels".to_owned(),
                    svg: carpet,
                    shows: "Rows are parcels.".to_owned(),
                    good: "fine grain.",
                    bad: "bands.",
                    curves: Some(Curves {
                        x: "time (s)",
                        at: vec![0.0, 2.0],
                        lines: vec![("\"<&>\"".to_owned(), vec![1.5, f64::NAN])],
                        are_points: false,
                    }),
                }],
                volumes: vec![
                    VolumeFile {
                        name: "mean image",
                        path: "figures/sub-01_mean.nii.gz".to_owned(),
                        is_overlay: false,
                    },
                    VolumeFile {
                        name: "mask",
                        path: "figures/mask.nii.gz".to_owned(),
                        is_overlay: true,
                    },
                ],
                missing: vec!["No slices: the file is a table.".to_owned()],
            }],
            left_out: vec![("run-2".to_owned(), "file is missing".to_owned())],
            boilerplate: "Series were read.".to_owned(),
            provenance: vec![("scan".to_owned(), "abc".to_owned())],
            ..PersonPage::default()
        }
    }

    #[test]
    fn a_page_is_whole_escapes_what_it_shows_and_fetches_nothing() {
        let html = page(vec![report("Findings: the pattern fits faces.")]).html();
        assert!(html.contains("<h1>Subject &lt;script&gt;alert(1)&lt;/script&gt;</h1>"), "{html}");
        assert!(html.contains("rest &amp; task"));
        assert!(html.contains("file is missing") && html.contains("Series of all parcels"));
        assert!(html.contains("<strong>Bad:</strong> bands.") && html.contains("No slices"));
        let others = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!others.contains("://") && !html.contains("<script"));
        assert!(!html.contains("url(") && !html.contains("style=") && !html.contains("NaN"));
        assert!(html.contains("default-src &#39;none&#39;"));
        let curves = "data-curves=\"{&quot;x&quot;:&quot;time (s)&quot;,&quot;at&quot;:[0.0,2.0],&quot;lines&quot;:[{\
            &quot;name&quot;:&quot;\\&quot;&lt;&amp;&gt;\\&quot;&quot;,&quot;y&quot;:[1.5,null]}],&quot;are_points&quot;:false}\"";
        assert!(html.contains(curves), "{html}");
        let overlay = "<li><a href=\"figures/mask.nii.gz\" download data-overlay>mask</a></li>";
        assert!(html.contains(overlay), "{html}");
        assert_eq!(html.matches(DISCLAIMER).count(), 3);
    }

    #[test]
    fn the_texts_stand_beside_each_other_with_what_differs_marked() {
        let html = page(vec![report("Findings: the pattern fits faces.")]).html();
        for part in [
            "<h4>Own scan</h4><p class=\"text\">Findings: the pattern fits faces.</p>",
            "<h4>True report</h4>",
            "<h4>With the scan of somebody else</h4><p class=\"soft\">The same text.</p>",
            "Findings: <mark>&lt;none&gt;.</mark>",
            "<td>face</td><td>0.62</td><td>face</td><td>✓ right</td><td>–</td>",
            "Session 11, 252.742 s to 264.742 s",
            "alt=\"slice\" width=\"9\" height=\"9\"",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn many_recordings_leave_the_page_below_five_megabytes() {
        let mut page = page(Vec::new());
        let series = ndarray::Array2::from_shape_fn((760, 240), |(frame, parcel)| {
            ((frame * 7919 + parcel * 104_729) % 1013) as f64
        });
        let order: Vec<usize> = (0..240).collect();
        let carpet = carpet(&Carpet {
            series: series.view(),
            order: &order,
            t_r_s: 2.0,
            fd_mm: None,
            what: "parcels",
        });
        page.recordings[0].figures[0].svg = carpet;
        page.recordings = vec![page.recordings[0].clone(); 60];
        let html = page.html();
        assert!(html.len() < 5_000_000 && html.len() > 1_000_000, "{}", html.len());
        assert_eq!(html.matches("<h3 class=\"name\">").count(), 60);
        assert!(html.contains("No figures: there is no more room on this page."));
    }

    #[test]
    fn a_report_of_any_length_leaves_the_page_below_five_megabytes() {
        let long = "<&\">".repeat(25_000);
        let html = page(vec![report(&long); 40]).html();
        assert!(html.len() < 5_000_000, "{}", html.len());
        assert!(html.contains("The first 20000 of 100000 characters."));
        assert!(html.contains("more windows have no room on this page"));
    }
}

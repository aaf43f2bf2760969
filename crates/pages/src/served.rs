//! Pages as `neuroflamingo serve` hands them out: with scripts, and with the policy as a header.
use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;

use crate::html::{FROM_FILE, Frame, digest_source};

/// A file that pages ask a server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The name of the file.
    pub name: &'static str,
    /// Its type.
    pub content_type: &'static str,
    /// What it holds.
    pub bytes: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const STYLE: &str = "text/css; charset=utf-8";

/// Ours, and unmodified files of npm packages (`assets/README.md`).
const ASSETS: [Asset; 4] = [
    Asset { name: "pages.js", content_type: SCRIPT, bytes: include_bytes!("../assets/pages.js") },
    Asset {
        name: "uPlot.iife.min.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../assets/uPlot.iife.min.js"),
    },
    Asset {
        name: "uPlot.min.css",
        content_type: STYLE,
        bytes: include_bytes!("../assets/uPlot.min.css"),
    },
    Asset {
        name: "niivue.umd.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../assets/niivue.umd.js"),
    },
];

/// The asset of this name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|it| it.name == name)
}

/// A page that may run our scripts, and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The page.
    pub html: String,
    /// Its content security policy, for a header.
    pub policy: String,
}

/// Adds our scripts to a page. Assets lie below `base`, which begins and ends with `/`, of `origin`; so do the
/// events, at `events`. The script is told when the page was `written`, so that it knows pages of earlier runs. A
/// page that has no head stays as it is, and may run nothing.
pub fn served(page: &str, base: &str, origin: &str, written: Option<SystemTime>) -> Served {
    const META: &str = "<meta http-equiv=\"Content-Security-Policy\"";
    let mut html = page.replacen(FROM_FILE, "", 1);
    // a policy of the page would hold beside that of the header, and lets no script in
    if let Some(start) = html.find(META)
        && let Some(n_bytes) = html[start..].find('>')
    {
        html.replace_range(start..=start + n_bytes, "");
    }
    let written = written.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let written =
        written.map_or_else(String::new, |it| format!(" data-written=\"{}\"", it.as_secs()));
    let script = format!(
        "<script defer src=\"{base}assets/pages.js\" data-base=\"{base}\"{written}></script>\n</head>"
    );
    html = html.replacen("</head>", &script, 1);
    let of_type = |content_type: &str| -> Vec<String> {
        let assets = ASSETS.iter().filter(|it| it.content_type == content_type);
        assets.map(|it| format!("{origin}{base}assets/{}", it.name)).collect()
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src 'self' data: blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        of_type(SCRIPT).join(" "),
        [styles(page), of_type(STYLE)].concat().join(" ")
    );
    Served { html, policy }
}

/// The policy of a drawing that is opened by itself.
pub fn drawing_policy(svg: &str) -> String {
    let styles = styles(svg);
    let sources = if styles.is_empty() { "'none'".to_owned() } else { styles.join(" ") };
    format!("default-src 'none'; style-src {sources}; frame-ancestors 'none'; sandbox")
}

/// The sources of a document's own styles.
fn styles(document: &str) -> Vec<String> {
    let styles = document.split("<style>").skip(1).filter_map(|it| it.split("</style>").next());
    styles.map(digest_source).collect()
}

/// How a run stands, for one that has no pages yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusPage {
    /// The name of the run.
    pub run: String,
    /// How it stands; may have several lines.
    pub words: String,
    /// Whether somebody works on it.
    pub is_running: bool,
    /// Pages that are there: what they are, and where.
    pub links: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "status.html")]
struct Rendered<'a> {
    frame: Frame,
    page: &'a StatusPage,
}

impl StatusPage {
    /// The whole page.
    pub fn html(&self) -> String {
        let rendered = Rendered { frame: Frame::new(format!("State of {}", self.run)), page: self };
        rendered.render().expect("a String takes everything")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{CohortPage, figures::FIGURE_STYLE};

    #[test]
    fn a_served_page_differs_by_its_script_and_its_policy() {
        let page = CohortPage { title: "</head>".to_owned(), ..CohortPage::default() };
        let page = page.pages().remove(0).1;
        let Served { html, policy } = served(&page, "/a/", "http://127.0.0.1:1", None);
        assert!(
            policy
                .contains("script-src http://127.0.0.1:1/a/assets/pages.js http://127.0.0.1:1/a/")
        );
        assert!(!policy.contains("unsafe") && page.contains(FROM_FILE));
        assert!(page.replace("&#39;", "'").contains(&digest_source(&crate::html::STYLE)));
        assert!(policy.contains(&digest_source(&crate::html::STYLE)));
        let script = "<script defer src=\"/a/assets/pages.js\" data-base=\"/a/\"></script>\n";
        let meta = &page[page.find("<meta http-equiv").unwrap()..];
        let meta = &meta[..=meta.find('>').unwrap()];
        let plain = page.replace(FROM_FILE, "").replace(meta, "");
        assert_eq!(html.replace(script, ""), plain);
        assert_eq!(html.matches(script).count(), 1);
    }

    #[test]
    fn the_script_is_told_when_a_page_was_written() {
        let written = UNIX_EPOCH + Duration::from_millis(1_001_678_459_900);
        let Served { html, .. } = served("<head></head>", "/a/", "http://h", Some(written));
        assert!(
            html.contains(" data-base=\"/a/\" data-written=\"1001678459\"></script>"),
            "{html}"
        );
    }

    #[test]
    fn scripts_from_elsewhere_are_the_files_that_the_table_names() {
        let table = include_str!("../assets/README.md");
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let cells = |row: &'static str| row.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        let rows: Vec<Vec<&str>> = rows.map(cells).collect();
        let theirs = ASSETS.iter().filter(|it| it.name != "pages.js");
        assert_eq!(rows.len(), theirs.clone().count());
        let licences = include_str!("../assets/LICENSES.txt").to_lowercase();
        for it in theirs {
            let row = rows.iter().find(|row| row[0] == it.name).expect("a row a file");
            assert_eq!(files::sha256_bytes(it.bytes), row[3], "{}", it.name);
            let package = row[1].rsplit('/').next().unwrap().replace('@', " ");
            assert!(licences.contains(&package), "{package}");
        }
        let n_bytes: usize = ASSETS.iter().map(|it| it.bytes.len()).sum();
        assert!(n_bytes < 3_000_000, "{n_bytes}");
    }

    #[test]
    fn what_is_no_page_of_ours_may_run_nothing_else() {
        let Served { html, policy } = served("<p onclick=\"x\">text", "/a/", "http://h", None);
        assert_eq!(html, "<p onclick=\"x\">text");
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("style-src http://h/a/assets/uPlot.min.css;")
        );
    }

    #[test]
    fn a_drawing_keeps_its_style_and_runs_nothing() {
        let policy = drawing_policy(&format!("<svg><style>{FIGURE_STYLE}</style></svg>"));
        assert!(policy.contains(&format!("style-src {};", digest_source(FIGURE_STYLE))));
        assert!(policy.starts_with("default-src 'none'") && policy.ends_with("sandbox"));
    }
}

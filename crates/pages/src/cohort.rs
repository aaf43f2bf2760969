//! The pages of a cohort: what became of everybody, and a thumbnail a person.

use std::fmt::Write as _;

use report::render::escape;

use crate::{
    page::{figure, page, table},
    picture::Picture,
};

/// Thumbnails on a page.
const PEOPLE_A_PAGE: usize = 50;

/// Everything the pages of a cohort show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CohortPage {
    /// The name of the run.
    pub title: String,
    /// How many recordings ended how, or why not.
    pub counts: Vec<(String, usize)>,
    /// [`outliers`](crate::outliers).
    pub outliers: Option<String>,
    /// Everybody.
    pub people: Vec<PersonRow>,
    /// Recordings that are not there, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// What was done with what: name and value.
    pub methods: Vec<(String, String)>,
}

/// What became of a person's recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of them were read.
    Whole,
    /// Some of them were not.
    Partly,
    /// None was.
    Missing,
}

/// A person in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonRow {
    /// As the cohort calls the person.
    pub subject: String,
    /// Where the person's page lies; none where nothing was read.
    pub page: Option<String>,
    /// What became of the recordings.
    pub outcome: Outcome,
    /// A line of figures.
    pub facts: String,
    /// A small matrix of correlations.
    pub thumbnail: Option<Picture>,
}

impl CohortPage {
    /// The pages by the names of their files, the first one called `first`.
    pub fn pages(&self, first: &str) -> Vec<(String, String)> {
        let n_pages = self.people.len().div_ceil(PEOPLE_A_PAGE).max(1);
        let of = |idx: usize| {
            let people = self.people.chunks(PEOPLE_A_PAGE).nth(idx).unwrap_or_default();
            let mut body = String::new();
            if idx == 0 {
                body.push_str(&self.summary());
            }
            body.push_str(&list(people, first, idx, n_pages));
            if idx == 0 {
                body.push_str("<h2>Methods</h2>\n");
                body.push_str(&table(&self.methods));
            }
            let title = match idx {
                0 => self.title.clone(),
                idx => format!("{}, page {} of {n_pages}", self.title, idx + 1),
            };
            (name(first, idx), page(&title, &body))
        };
        (0..n_pages).map(of).collect()
    }

    fn summary(&self) -> String {
        let counts: Vec<(String, String)> =
            self.counts.iter().map(|(name, n)| (name.clone(), n.to_string())).collect();
        let mut html = format!("<h2>Recordings</h2>\n{}", table(&counts));
        if !self.left_out.is_empty() {
            html.push_str("<h2>Left out or failed</h2>\n");
            html.push_str(&table(&self.left_out));
        }
        if let Some(svg) = &self.outliers {
            html.push_str(&figure(
                "Motion and signal",
                svg,
                "Each point is a recording and leads to its person; larger points have more parcels without \
                 data. Good: one cloud. Bad: points far to the right (motion) or far below the others.",
            ));
        }
        html
    }
}

fn list(people: &[PersonRow], first: &str, idx: usize, n_pages: usize) -> String {
    let mut html =
        format!("<h2>People</h2>\n{}<div class=\"people\">\n", turn(first, idx, n_pages));
    for person in people {
        let picture = person.thumbnail.as_ref().map_or(String::new(), |picture| {
            let alt = format!("correlations of the parcels of subject {}", person.subject);
            format!("<img alt=\"{}\" src=\"{}\">", escape(&alt), picture.data_url())
        });
        let (class, word) = match person.outcome {
            Outcome::Whole => ("", ""),
            Outcome::Partly => ("bad", "some recordings are left out; "),
            Outcome::Missing => ("bad", "left out; "),
        };
        let link = person
            .page
            .as_ref()
            .map_or(String::new(), |page| format!(" href=\"{}\"", escape(page)));
        writeln!(
            html,
            "<a class=\"{class}\"{link}>{picture}<b>{}</b><span class=\"soft\">{word}{}</span></a>",
            escape(&person.subject),
            escape(&person.facts)
        )
        .expect("a String takes every line");
    }
    html + "</div>\n" + &turn(first, idx, n_pages)
}

fn name(first: &str, idx: usize) -> String {
    if idx == 0 { first.to_owned() } else { format!("people-{:03}.html", idx + 1) }
}

/// Links to the other pages of the list.
fn turn(first: &str, idx: usize, n_pages: usize) -> String {
    if n_pages == 1 {
        return String::new();
    }
    let links = (0..n_pages).map(|it| {
        if it == idx {
            format!("<strong aria-current=\"page\">{}</strong>", it + 1)
        } else {
            format!("<a href=\"{}\">{}</a>", name(first, it), it + 1)
        }
    });
    let links = links.collect::<Vec<_>>().join(" ");
    format!("<nav aria-label=\"Pages of the list\"><p>Page {links}</p></nav>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(idx: usize) -> PersonRow {
        PersonRow {
            subject: format!("{idx:04}"),
            page: Some(format!("sub-{idx:04}.html")),
            outcome: if idx == 7 { Outcome::Partly } else { Outcome::Whole },
            facts: "2 recordings".to_owned(),
            thumbnail: Some(Picture::of(32, 32, |row, column| [row as u8, column as u8, 0])),
        }
    }

    #[test]
    fn everybody_is_on_one_page_and_the_first_tells_what_failed() {
        let cohort = CohortPage {
            title: "rest".to_owned(),
            counts: vec![("complete".to_owned(), 119), ("truncated file".to_owned(), 1)],
            people: (0..120).map(person).collect(),
            left_out: vec![("sub-0007_run-2".to_owned(), "file <ends> early".to_owned())],
            ..CohortPage::default()
        };
        let pages = cohort.pages("index.html");
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["index.html", "people-002.html", "people-003.html"]);
        for idx in 0..120 {
            let link = format!("href=\"sub-{idx:04}.html\"");
            let on: Vec<usize> = (0..3).filter(|&it| pages[it].1.contains(&link)).collect();
            assert_eq!(on, [idx / 50]);
        }
        assert!(pages[0].1.contains("file &lt;ends&gt; early"));
        assert!(pages[0].1.contains("some recordings are left out"));
        assert!(!pages[1].1.contains("file &lt;ends&gt; early"));
        assert!(pages.iter().all(|(_, html)| html.len() < 1_000_000));
    }

    #[test]
    fn a_cohort_of_nobody_has_a_page() {
        assert_eq!(CohortPage::default().pages("people.html").len(), 1);
    }
}

//! The pages of a cohort: what was found out, what became of everybody, and a thumbnail a person.

use askama::Template;

use crate::{
    asked::{AskedQuestion, ShownQuestion},
    figures::data_url,
    findings::{Findings, Shown},
    html::{Figure, Frame},
};

/// Thumbnails on a page.
const PEOPLE_A_PAGE: usize = 50;

/// Recordings that are named as left out; the others stand in a table beside the page.
const MOST_LEFT_OUT: usize = 1000;

/// Everything the pages of a cohort show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CohortPage {
    /// The name of the run.
    pub title: String,
    /// What was found out about the model's texts, where there are any.
    pub findings: Option<Findings>,
    /// Questions that were asked about every scan.
    pub asked: Vec<AskedQuestion>,
    /// How many recordings ended how, or why not.
    pub counts: Vec<(String, usize)>,
    /// [`outliers`](crate::outliers).
    pub outliers: Option<Figure>,
    /// Everybody.
    pub people: Vec<PersonRow>,
    /// Recordings that are not there, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// What was done, in words that may be pasted into a paper.
    pub boilerplate: String,
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

/// The first of the pages.
pub const INDEX: &str = "index.html";

/// A person in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonRow {
    /// As the cohort calls the person.
    pub subject: String,
    /// Where the person's page lies.
    pub page: Option<String>,
    /// What became of the recordings.
    pub outcome: Outcome,
    /// A line of figures.
    pub facts: String,
    /// A small picture, as a PNG, and what it shows.
    pub thumbnail: Option<(Vec<u8>, String)>,
}

#[derive(Template)]
#[template(path = "cohort.html")]
struct Rendered<'a> {
    frame: Frame,
    page: &'a CohortPage,
    findings: Option<Shown<'a>>,
    asked: Vec<ShownQuestion<'a>>,
    counts: Vec<(&'a str, usize)>,
    left_out: &'a [(String, String)],
    n_left_beyond: usize,
    people: Vec<Card<'a>>,
    number: usize,
    links: &'a [(usize, String)],
}

struct Card<'a> {
    class: &'static str,
    page: Option<&'a str>,
    source: Option<String>,
    alt: String,
    subject: &'a str,
    facts: String,
}

impl CohortPage {
    /// The pages by the names of their files, [`INDEX`] first.
    pub fn pages(&self) -> Vec<(String, String)> {
        let n_pages = self.people.len().div_ceil(PEOPLE_A_PAGE).max(1);
        let links: Vec<(usize, String)> = (1..=n_pages).map(|it| (it, name(it))).collect();
        let of = |(number, name): &(usize, String)| {
            let people = self.people.chunks(PEOPLE_A_PAGE).nth(number - 1).unwrap_or_default();
            let title = match number {
                1 => self.title.clone(),
                number => format!("{}, page {number} of {n_pages}", self.title),
            };
            let n_left = self.left_out.len().min(MOST_LEFT_OUT);
            let rendered = Rendered {
                frame: Frame::new(title),
                page: self,
                findings: self.findings.as_ref().filter(|_| *number == 1).map(Findings::shown),
                asked: match number {
                    1 => self.asked.iter().map(AskedQuestion::shown).collect(),
                    _ => Vec::new(),
                },
                counts: self.counts.iter().map(|(name, n)| (name.as_str(), *n)).collect(),
                left_out: &self.left_out[..n_left],
                n_left_beyond: self.left_out.len() - n_left,
                people: people.iter().map(PersonRow::card).collect(),
                number: *number,
                links: &links,
            };
            (name.clone(), rendered.render().expect("a String takes everything"))
        };
        links.iter().map(of).collect()
    }
}

impl PersonRow {
    fn card(&self) -> Card<'_> {
        let (class, word) = match self.outcome {
            Outcome::Whole => ("", ""),
            Outcome::Partly => ("bad", "some recordings are left out; "),
            Outcome::Missing => ("bad", "left out; "),
        };
        let shows = self.thumbnail.as_ref().map_or("", |it| it.1.as_str());
        Card {
            class,
            page: self.page.as_deref(),
            source: self.thumbnail.as_ref().map(|(png, _)| data_url(png)),
            alt: format!("{shows} of subject {}", self.subject),
            subject: &self.subject,
            facts: format!("{word}{}", self.facts),
        }
    }
}

fn name(number: usize) -> String {
    if number == 1 { INDEX.to_owned() } else { format!("people-{number:03}.html") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Picture;

    fn person(idx: usize) -> PersonRow {
        let picture =
            Picture::of(64, 64, |row, column| [row as u8, column as u8, (row * column) as u8]);
        PersonRow {
            subject: format!("{idx:04}"),
            page: Some(format!("sub-{idx:04}.html")),
            outcome: if idx == 7 { Outcome::Partly } else { Outcome::Whole },
            facts: "2 recordings".to_owned(),
            thumbnail: Some((picture.png().unwrap(), "correlations".to_owned())),
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
        let pages = cohort.pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["index.html", "people-002.html", "people-003.html"]);
        for idx in 0..120 {
            let link = format!("href=\"sub-{idx:04}.html\"");
            let on: Vec<usize> = (0..3).filter(|&it| pages[it].1.contains(&link)).collect();
            assert_eq!(on, [idx / 50]);
        }
        assert!(pages[0].1.contains("file &lt;ends&gt; early"));
        assert!(pages[0].1.contains("some recordings are left out"));
        assert!(pages[0].1.contains("alt=\"correlations of subject 0007\""));
        assert!(!pages[1].1.contains("file &lt;ends&gt; early"));
        assert!(pages[1].1.contains("<strong aria-current=\"page\">2</strong>"));
        assert!(pages.iter().all(|(_, html)| html.len() < 1_000_000));
    }

    #[test]
    fn thousands_that_failed_leave_the_page_small() {
        let left =
            |idx: usize| (format!("sub-{idx:05}_bold.nii.gz"), "the file is cut short".repeat(5));
        let cohort =
            CohortPage { left_out: (0..10_000).map(left).collect(), ..CohortPage::default() };
        let html = &cohort.pages()[0].1;
        assert!(html.len() < 1_000_000, "{}", html.len());
        assert!(html.contains("9000 more stand in <a href=\"status.tsv\">"));
    }

    #[test]
    fn a_cohort_of_nobody_has_a_page() {
        assert_eq!(CohortPage::default().pages().len(), 1);
    }
}

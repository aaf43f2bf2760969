//! The links of a built book, followed without a network.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// A sentence for each link of the pages in `book` that leads to no file or to no heading.
pub(super) fn broken(book: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(book).with_context(|| book.display().to_string())? {
        let path = entry?.path();
        // one page that holds all others, for printing, and one whose links count from the root of a site
        let is_page = path.extension().is_some_and(|it| it == "html");
        let is_other = ["print.html", "404.html", "toc.html"].iter().any(|it| path.ends_with(it));
        if is_page && !is_other {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            pages.insert(path, text);
        }
    }
    ensure!(!pages.is_empty(), "{}: no pages", book.display());
    let mut broken = Vec::new();
    for (path, text) in &pages {
        let links = attribute(text, "href").chain(attribute(text, "src"));
        for link in links.filter(|link| !link.contains(':') && !link.starts_with("//")) {
            if !leads_somewhere(path, link, &pages) {
                let name = path.file_name().unwrap_or_default().display();
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    Ok(broken)
}

fn leads_somewhere(page: &Path, link: &str, pages: &BTreeMap<PathBuf, String>) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.with_file_name(file) };
    let has_anchor =
        |text: &String| anchor.is_empty() || attribute(text, "id").any(|it| it == anchor);
    match pages.get(&target) {
        Some(text) => has_anchor(text),
        None => target.is_file() && anchor.is_empty(),
    }
}

/// The values of an attribute, in the form in which mdBook writes it.
fn attribute<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    let parts: Vec<&str> = text.split(&start).skip(1).collect();
    parts.into_iter().filter_map(|part| Some(part.split_once('"')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_missing_files_and_headings_are_broken() {
        let book = tempfile::tempdir().unwrap();
        let page = r##"<a href="b.html#here">x</a> <a href="b.html#gone">x</a> <a href="c.html">x</a>
            <img src="p.svg"> <a href="#top">x</a> <a href="https://example.org/#no">x</a> <p id="top">"##;
        fs::write(book.path().join("a.html"), page).unwrap();
        fs::write(book.path().join("b.html"), r#"<h2 id="here">x</h2>"#).unwrap();
        fs::write(book.path().join("p.svg"), "<svg/>").unwrap();
        assert_eq!(broken(book.path()).unwrap(), ["a.html: b.html#gone", "a.html: c.html"]);
    }
}

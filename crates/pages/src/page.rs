//! What every page has: head, style, disclaimer and end.

use std::fmt::Write as _;

use report::{
    generated::DISCLAIMER,
    render::{STYLE, escape},
};

/// More style than the page of a run has.
const MORE: &str = ".facts th { padding-right: 1.5rem; font-weight: 400; }\n\
                    .people { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .75rem; }\n\
                    .people a { color: inherit; text-decoration: none; background: var(--panel); padding: .6rem; }\n\
                    .people a:focus, .people a:hover { outline: 2px solid var(--blue); }\n\
                    .people img { width: 100%; image-rendering: pixelated; }\n\
                    .people b { display: block; } .bad { border-left: .3rem dashed var(--orange); }\n\
                    @media print { .people a { break-inside: avoid; } figure, section { break-inside: avoid; } }\n";

/// A whole page around its body.
pub(crate) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{MORE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"soft\">{DISCLAIMER}</p>\n{body}</main>\n\
         <footer><p><strong>{DISCLAIMER}</strong></p></footer>\n</body>\n</html>\n"
    )
}

/// A figure with its heading and what it shows, what good and what bad look like.
pub(crate) fn figure(title: &str, svg: &str, caption: &str) -> String {
    format!(
        "<section><h3>{}</h3>\n<figure><div class=\"scroll\">{svg}</div>\
         <figcaption>{}</figcaption></figure></section>\n",
        escape(title),
        escape(caption)
    )
}

/// Names and values, one a row.
pub(crate) fn table(rows: &[(String, String)]) -> String {
    let mut html = String::from("<div class=\"scroll\"><table class=\"facts\">\n");
    for (name, value) in rows {
        let (name, value) = (escape(name), escape(value));
        writeln!(html, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")
            .expect("a String takes every line");
    }
    html + "</table></div>\n"
}

//! What is answered to what is asked.
use std::{
    io::{Read as _, Seek as _, SeekFrom},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{self, HeaderName},
};
use tokio::{sync::mpsc, task};

use crate::{
    body::Body,
    folder::{Folder, Found},
    gate::{Asked, Gate, NOT_FOUND, Refused},
    live::Live,
    range::Wanted,
};

/// A larger page is handed out as it is, without scripts: ours are smaller.
const MOST_PAGE: u64 = 16 << 20;

/// Bytes of a file that are read at once.
const PIECE: usize = 256 << 10;

/// Of every answer: nothing is kept, guessed, embedded elsewhere or told to others.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Of the entry, which goes on by itself: from a sandbox it would come as from another site, without the cookie.
const GOES_ON: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Of what is no page: it may do nothing at all.
const INERT: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

/// What answers know.
pub(crate) struct Site {
    pub(crate) gate: Gate,
    pub(crate) folder: Folder,
    pub(crate) live: Live,
}

impl Site {
    /// Answers a request; its body is never read.
    pub(crate) async fn answer<B>(self: Arc<Self>, request: Request<B>) -> Response<Body> {
        let asked = match self.gate.admit(&request) {
            Ok(asked) => asked,
            Err(refused) => return refusal(refused),
        };
        let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
        let host = header(header::HOST).unwrap_or_default();
        let answer = match asked {
            Asked::Entry => Ok(self.entry()),
            Asked::First => Ok(self.first().await),
            Asked::Status => Ok(self.status(host).await),
            Asked::Events => Ok(self.events(request.method()).await),
            Asked::Asset(name) => asset(&name),
            Asked::File(path) => {
                self.file(path, host.to_owned(), header(header::RANGE).map(str::to_owned)).await
            }
        };
        answer.unwrap_or_else(refusal)
    }

    /// The cookie, and a page that goes on. A redirection would be followed without the cookie where a page of
    /// another site has the link.
    fn entry(&self) -> Response<Body> {
        let text = "The pages of the run open by themselves; if not, reload this page.\n";
        let mut answer = whole("text/plain; charset=utf-8", GOES_ON, text.into());
        set(&mut answer, header::SET_COOKIE, &self.gate.cookie());
        set(&mut answer, header::REFRESH, &format!("0; url={}", self.gate.base()));
        answer
    }

    /// The way to the cohort's page, or to the state of a run that has none yet.
    async fn first(self: Arc<Self>) -> Response<Body> {
        let has_pages = {
            let site = Arc::clone(&self);
            from_disk(move || site.folder.has(pages::INDEX)).await.unwrap_or(false)
        };
        let page = if has_pages {
            format!("{}run/{}", self.gate.base(), pages::INDEX)
        } else {
            format!("{}status", self.gate.base())
        };
        let mut answer = whole("text/plain; charset=utf-8", INERT, String::new());
        *answer.status_mut() = StatusCode::SEE_OTHER;
        set(&mut answer, header::LOCATION, &page);
        answer
    }

    async fn status(self: Arc<Self>, host: &str) -> Response<Body> {
        let state = self.live.now().await;
        let look = {
            let site = Arc::clone(&self);
            move || (site.folder.has(pages::INDEX), site.folder.repetitions())
        };
        let (has_pages, repetitions) = from_disk(look).await.unwrap_or_default();
        let mut links = Vec::new();
        if has_pages {
            links.push(("The pages of the run".to_owned(), format!("run/{}", pages::INDEX)));
        }
        let of = |name: String| (name.clone(), format!("run/{name}/{}", pages::INDEX));
        links.extend(repetitions.into_iter().map(of));
        let page = pages::StatusPage {
            run: self.folder.name(),
            words: state.words,
            is_running: state.is_running,
            links,
        };
        self.page(&page.html(), host, None)
    }

    async fn events(&self, method: &Method) -> Response<Body> {
        let body = match *method {
            Method::HEAD => Body::Whole(Bytes::new()),
            _ => Body::Pieces { pieces: self.live.events().await, n_left: None },
        };
        response("text/event-stream", INERT, body)
    }

    /// A page with its scripts; a file was written at some time.
    fn page(&self, html: &str, host: &str, written: Option<SystemTime>) -> Response<Body> {
        let origin = format!("http://{host}");
        let served = pages::served(html, &self.gate.base(), &origin, written);
        whole("text/html; charset=utf-8", &served.policy, served.html)
    }

    async fn file(
        self: Arc<Self>,
        path: String,
        host: String,
        range: Option<String>,
    ) -> Result<Response<Body>, Refused> {
        let read = move || {
            let mut found = self.folder.find(&path).ok_or(NOT_FOUND)?;
            let is_page = found.content_type.starts_with("text/html");
            if !(is_page || found.content_type == "image/svg+xml") || found.n_bytes > MOST_PAGE {
                return part(found, range.as_deref());
            }
            let mut text = String::new();
            let n_most = MOST_PAGE + 1;
            found.file.by_ref().take(n_most).read_to_string(&mut text).map_err(|_| NOT_FOUND)?;
            if is_page {
                return Ok(self.page(&text, &host, found.written));
            }
            let policy = pages::drawing_policy(&text);
            Ok(whole(found.content_type, &policy, text))
        };
        from_disk(read).await.unwrap_or(Err(FAILED))
    }
}

/// What is read of the folder, which may lie on a slow disk: other answers do not wait. Nothing where the reading
/// broke off.
async fn from_disk<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    task::spawn_blocking(read).await.ok()
}

const FAILED: Refused = Refused(StatusCode::INTERNAL_SERVER_ERROR, "The file could not be read.");

/// A file, or the part of it that is asked for, in pieces.
fn part(found: Found, range: Option<&str>) -> Result<Response<Body>, Refused> {
    let Found { mut file, n_bytes, content_type, .. } = found;
    let (status, range) = match Wanted::of(range, n_bytes) {
        Wanted::Whole => (StatusCode::OK, 0..n_bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Beyond => {
            let sentence = "The file has no such bytes.";
            let mut answer = refusal(Refused(StatusCode::RANGE_NOT_SATISFIABLE, sentence));
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{n_bytes}"));
            return Ok(answer);
        }
    };
    file.seek(SeekFrom::Start(range.start)).map_err(|_| FAILED)?;
    let n_wanted = range.end - range.start;
    let (sender, pieces) = mpsc::channel(2);
    let mut rest = file.take(n_wanted);
    task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let n_read = rest.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            // whoever asked is told by the length that the rest is missing
            if !n_read.is_ok_and(|n| n > 0) || sender.blocking_send(piece.into()).is_err() {
                return;
            }
        }
    });
    let body = Body::Pieces { pieces, n_left: Some(n_wanted) };
    let mut answer = response(content_type, INERT, body);
    *answer.status_mut() = status;
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    set(&mut answer, header::CONTENT_LENGTH, &n_wanted.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{n_bytes}", range.start, range.end - 1);
        set(&mut answer, header::CONTENT_RANGE, &range);
    }
    Ok(answer)
}

/// A script or style of ours: as long as this server runs, it is the same.
fn asset(name: &str) -> Result<Response<Body>, Refused> {
    let asset = pages::asset(name).ok_or(NOT_FOUND)?;
    let body = Body::Whole(Bytes::from_static(asset.bytes));
    let mut answer = response(asset.content_type, INERT, body);
    set(&mut answer, header::CONTENT_LENGTH, &asset.bytes.len().to_string());
    set(&mut answer, header::CACHE_CONTROL, "private, max-age=86400, immutable");
    Ok(answer)
}

fn refusal(Refused(status, sentence): Refused) -> Response<Body> {
    let mut answer = whole("text/plain; charset=utf-8", INERT, format!("{sentence}\n"));
    *answer.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        set(&mut answer, header::ALLOW, "GET, HEAD");
    }
    // what is left of a body is not read, and whoever may ask nothing keeps no connection
    let closes =
        [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::METHOD_NOT_ALLOWED, StatusCode::FORBIDDEN];
    if closes.contains(&status) {
        set(&mut answer, header::CONNECTION, "close");
    }
    answer
}

fn whole(content_type: &'static str, policy: &str, text: String) -> Response<Body> {
    let n_bytes = text.len();
    let mut answer = response(content_type, policy, text.into());
    set(&mut answer, header::CONTENT_LENGTH, &n_bytes.to_string());
    answer
}

fn response(content_type: &'static str, policy: &str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    for (name, value) in ALWAYS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    set(&mut answer, header::CONTENT_TYPE, content_type);
    set(&mut answer, header::CONTENT_SECURITY_POLICY, policy);
    answer
}

fn set(answer: &mut Response<Body>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("made of digits, words and checked hosts");
    answer.headers_mut().insert(name, value);
}

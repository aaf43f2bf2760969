//! The server: a port of the loopback interface, and connections to it until somebody stops it.
use std::{
    convert::Infallible,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use http::StatusCode;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener as Listener, runtime::Builder, sync::Notify, task, time};

use crate::{
    answer::Site,
    error::{Error, Result},
    folder::Folder,
    gate::Gate,
    live::{Live, State},
    places::Places,
};

/// Bytes of a request that are kept: address and headers.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;

/// A request that is not there after this time is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is ready to be served.
pub struct Server {
    listener: TcpListener,
    site: Arc<Site>,
    stopper: Stopper,
}

/// Stops a server.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Notify>);

impl Stopper {
    /// Ends [`Server::run`], be it before or while it runs.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

impl Server {
    /// Listens on `port` of 127.0.0.1, or on any free one where it is 0. `look` says how the run in `dir` stands.
    ///
    /// # Errors
    /// Where `dir` is no folder that can be read, or the port cannot be had.
    pub fn bind(
        dir: &Path,
        port: u16,
        look: impl Fn() -> State + Send + Sync + 'static,
    ) -> Result<Self> {
        let folder =
            Folder::new(dir).map_err(|source| Error::Folder { path: dir.to_owned(), source })?;
        let no = |problem: &dyn ToString| Error::Listen { port, problem: problem.to_string() };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Error::Taken { port },
            _ => no(&error),
        })?;
        listener.set_nonblocking(true).map_err(|it| no(&it))?;
        let bound = listener.local_addr().map_err(|it| no(&it))?.port();
        let gate = Gate::new(bound).map_err(|it| no(&it))?;
        let site = Arc::new(Site { gate, folder, live: Live::new(Arc::new(look)) });
        Ok(Self { listener, site, stopper: Stopper::default() })
    }

    /// The address that opens the pages; whoever has it may read the run.
    pub fn address(&self) -> String {
        self.site.gate.address()
    }

    /// Stops this server.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Answers until somebody stops it; connections that are open then are closed.
    ///
    /// # Errors
    /// Where the system gives no events of sockets.
    pub fn run(self) -> Result<()> {
        let Self { listener, site, stopper } = self;
        let port = listener.local_addr().map_or(0, |it| it.port());
        let no = |problem: std::io::Error| Error::Listen { port, problem: problem.to_string() };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no)?;
        let ended = runtime.block_on(async {
            let listener = Listener::from_std(listener).map_err(no)?;
            task::spawn(site.live.watch());
            task::spawn(accept(listener, site));
            stopper.0.notified().await;
            Ok(())
        });
        // a file that is being read is not waited for
        runtime.shutdown_background();
        ended
    }
}

async fn accept(listener: Listener, site: Arc<Site>) {
    let mut places = Places::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // too many open files, or a connection that is gone
            time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let site = Arc::clone(&site);
        let place = places.take().await;
        let number = place.number();
        // a runtime of one thread: the task runs when this one waits, when its place is known
        let task = task::spawn(async move {
            let place = &place;
            let service = service_fn(move |request| {
                let answer = Arc::clone(&site).answer(request);
                async move {
                    let answer = answer.await;
                    if answer.status() != StatusCode::FORBIDDEN {
                        place.keep();
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            // an error is a browser that went away, or one that sent nonsense and was told so
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(MOST_HEAD)
                .max_headers(MOST_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        places.watch(number, task.abort_handle());
    }
}

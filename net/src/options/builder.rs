//! The options that a [`Dialer`](crate::Dialer) and a [`ListenerBuilder`](crate::ListenerBuilder)
//! set before the socket is of use to anybody.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use crate::options::{self, Keepalive};
use crate::sys;

/// A caller's own words to a new socket.
#[derive(Clone)]
pub(crate) struct Control(pub(crate) Rc<ControlFn>);

type ControlFn = dyn Fn(BorrowedFd<'_>, SocketAddr) -> io::Result<()>;

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) recv_buffer_bytes: Option<u32>,
    pub(crate) send_buffer_bytes: Option<u32>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) notsent_lowat_bytes: Option<u32>,
    pub(crate) congestion: Option<String>,
    pub(crate) control: Option<Control>,
}

impl Default for Options {
    /// Go's: `nodelay` and `keepalive` on, all else the system's.
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: Some(Keepalive::default()),
            recv_buffer_bytes: None,
            send_buffer_bytes: None,
            user_timeout: None,
            notsent_lowat_bytes: None,
            congestion: None,
            control: None,
        }
    }
}

impl Options {
    /// What differs from the system's defaults is set, the caller's own words last.
    pub(crate) fn apply(&self, fd: BorrowedFd<'_>, addr: SocketAddr) -> io::Result<()> {
        let numbers = [
            (options::RECV_BUFFER, self.recv_buffer_bytes.map(options::int)),
            (options::SEND_BUFFER, self.send_buffer_bytes.map(options::int)),
            (options::USER_TIMEOUT, self.user_timeout.map(options::millis_up)),
            (options::NOTSENT_LOWAT, self.notsent_lowat_bytes.map(u32::cast_signed)),
            (options::NODELAY, self.nodelay.then_some(1)),
        ];
        options::set_all(fd, numbers)?;
        if self.keepalive.is_some() {
            options::set_keepalive(fd, self.keepalive)?;
        }
        if let Some(algorithm) = &self.congestion {
            sys::set_congestion(fd, algorithm)?;
        }
        self.control.as_ref().map_or(Ok(()), |control| control.0(fd, addr))
    }
}

/// The builder methods for [`Options`], which two builders share word for word.
macro_rules! option_setters {
    ($builder:ty, $($options:ident).+) => {
        impl $builder {
            /// Whether small segments leave at once (`TCP_NODELAY`). On by default.
            pub fn nodelay(mut self, nodelay: bool) -> Self {
                self.$($options).+.nodelay = nodelay;
                self
            }

            /// Keep-alive, `None` for none. [`Keepalive::default`] by default.
            pub fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
                self.$($options).+.keepalive = keepalive;
                self
            }

            /// The receive buffer of connections, at most `net.core.rmem_max`. By default the
            /// kernel tunes it (`net.ipv4.tcp_rmem`).
            pub fn recv_buffer_bytes(mut self, bytes: u32) -> Self {
                self.$($options).+.recv_buffer_bytes = Some(bytes);
                self
            }

            /// The send buffer of connections, at most `net.core.wmem_max`. By default the kernel
            /// tunes it (`net.ipv4.tcp_wmem`).
            pub fn send_buffer_bytes(mut self, bytes: u32) -> Self {
                self.$($options).+.send_buffer_bytes = Some(bytes);
                self
            }

            /// See [`TcpStream::set_user_timeout`].
            pub fn user_timeout(mut self, timeout: Duration) -> Self {
                self.$($options).+.user_timeout = Some(timeout);
                self
            }

            /// See [`TcpStream::set_notsent_lowat_bytes`].
            pub fn notsent_lowat_bytes(mut self, bytes: u32) -> Self {
                self.$($options).+.notsent_lowat_bytes = Some(bytes);
                self
            }

            /// See [`TcpStream::set_congestion`].
            pub fn congestion(mut self, algorithm: &str) -> Self {
                self.$($options).+.congestion = Some(algorithm.to_owned());
                self
            }

            /// Calls `control` with the new socket and the address it is for, after all options and
            /// before bind(2) and connect(2): for what has no method here, such as `SO_MARK`,
            /// `SO_BINDTODEVICE` or `IP_TRANSPARENT` (Go: `Control`). Its error ends the attempt.
            pub fn control(
                mut self,
                control: impl Fn(BorrowedFd<'_>, SocketAddr) -> io::Result<()> + 'static,
            ) -> Self {
                self.$($options).+.control = Some(Control(Rc::new(control)));
                self
            }
        }
    };
}

pub(crate) use option_setters;

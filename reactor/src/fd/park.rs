//! How an operation on a [`PollFd`] tries, parks and tries again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::PollFd;
use super::error::{elsewhere, refused};
use crate::context;
use crate::metrics::add;
use crate::netpoll::NOBODY;
use crate::polldesc::{Direction, Found};
use crate::task::{TaskId, named_by};

impl PollFd {
    #[inline]
    pub(super) fn poll_in_place<T>(
        &self,
        cx: &mut Context<'_>,
        dir: Direction,
        place: &mut u32,
        op: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            std::task::ready!(self.poll_ready_in_place(cx, dir, place))?;
            if !context::spend() {
                context::defer(cx.waker());
                return Poll::Pending;
            }
            match op(self.fd.as_fd()) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => self.blocked(dir)?,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Being told "ready" counts as an operation: who loops over it and `try_io` is to let others run.
    #[inline(always)]
    pub(super) fn poll_ready_within_budget(
        &self,
        cx: &mut Context<'_>,
        dir: Direction,
        place: &mut u32,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_ready_in_place(cx, dir, place))?;
        if context::spend() {
            return Poll::Ready(Ok(()));
        }
        context::defer(cx.waker());
        Poll::Pending
    }

    #[inline(always)]
    pub(super) fn poll_ready_in_place(
        &self,
        cx: &mut Context<'_>,
        dir: Direction,
        place: &mut u32,
    ) -> Poll<io::Result<()>> {
        let desc = &self.tie.entry.desc;
        if desc.is_ready(dir) {
            return Poll::Ready(Ok(()));
        }
        match desc.look(dir) {
            Found::Refused(refusal) => Poll::Ready(Err(refused(refusal))),
            Found::Ready | Found::Idle => self.park(cx, dir, place),
        }
    }

    #[inline(always)]
    fn park(&self, cx: &mut Context<'_>, dir: Direction, place: &mut u32) -> Poll<io::Result<()>> {
        let waker = cx.waker();
        match self.tie.netpoll.running.polled_with(waker) {
            Some(task) => {
                self.tie.entry.desc.park_task(dir, self.own(place), task);
                self.parked(dir)
            }
            None => self.park_by_name(waker, dir, place),
        }
    }

    /// Of a clone of the task's waker, say.
    #[cold]
    fn park_by_name(&self, waker: &Waker, dir: Direction, place: &mut u32) -> Poll<io::Result<()>> {
        match named_by(waker) {
            Some(task) if task.runtime() == self.tie.netpoll.runtime.get() => {
                self.tie.entry.desc.park_task(dir, self.own(place), task);
                self.parked(dir)
            }
            task => self.park_other(task, waker, dir, place),
        }
    }

    /// Who is no task of this runtime may be part of one: a future that others poll, with wakers of
    /// their own.
    fn park_other(
        &self,
        task: Option<TaskId>,
        waker: &Waker,
        dir: Direction,
        place: &mut u32,
    ) -> Poll<io::Result<()>> {
        if task.is_some() || self.tie.netpoll.runtime.get() == NOBODY {
            return Poll::Ready(Err(elsewhere()));
        }
        self.tie.entry.desc.park(dir, self.own(place), waker);
        // Its clone is code of users, which may have closed this very descriptor.
        if let Found::Refused(refusal) = self.tie.entry.desc.look(dir) {
            return Poll::Ready(Err(refused(refusal)));
        }
        self.parked(dir)
    }

    /// The place of who parks, which is new at the first time.
    #[inline(always)]
    fn own(&self, place: &mut u32) -> u32 {
        if *place == 0 {
            *place = self.tie.entry.desc.new_place();
        }
        *place
    }

    #[inline(always)]
    #[cfg_attr(not(feature = "trace"), expect(unused_variables, reason = "it is but logged"))]
    fn parked(&self, dir: Direction) -> Poll<io::Result<()>> {
        add(&self.tie.netpoll.counters.parks, 1);
        // Behind all else: a logger is code of users too.
        #[cfg(feature = "trace")]
        log::trace!("park {:#x}: {dir:?}", self.tie.entry.token());
        Poll::Pending
    }

    /// The system call said `EAGAIN`: from here on an edge has to come.
    #[inline]
    pub(super) fn blocked(&self, dir: Direction) -> io::Result<()> {
        if !self.tie.entry.desc.is_registered() {
            self.register()?;
        }
        self.tie.entry.desc.would_block(dir);
        Ok(())
    }

    #[cold]
    fn register(&self) -> io::Result<()> {
        let ours =
            context::current().is_some_and(|core| Rc::ptr_eq(&core.netpoll, &self.tie.netpoll));
        if !ours {
            return Err(elsewhere());
        }
        // The operation itself may have closed it.
        self.with_fd(|fd| self.tie.netpoll.register(fd, &self.tie.entry))?
    }
}

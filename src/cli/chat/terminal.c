#include "cli/chat/terminal.h"
#include "cli/common/common.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { MOST_SIGNALS = 65 };

static volatile sig_atomic_t came[MOST_SIGNALS];
static struct sigaction before[MOST_SIGNALS];
static bool is_ours[MOST_SIGNALS];
static struct termios cooked;
static void (*volatile restore_before_end)(void);
static bool is_quiet;

/* What cannot go on behind the handler. */
static bool is_crash(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGABRT ||
           number == SIGTRAP || number == SIGSYS;
}

/* Neither ends nor stops a process, or cannot be caught, or is taken care of (interrupt.c); SIGTTIN and SIGTTOU come where the
   terminal is another process's. */
static bool is_harmless(int number)
{
    return number == SIGKILL || number == SIGSTOP || number == SIGINT || number == SIGTERM || number == SIGCHLD ||
           number == SIGCONT || number == SIGURG || number == SIGTTIN || number == SIGTTOU;
}

static void on_signal(int number)
{
    came[number] = 1;
}

/* The signal comes again when the handler is left. */
static void end_now(int number)
{
    if (restore_before_end) restore_before_end();
    (void)sigaction(number, &before[number], NULL);
    (void)raise(number);
}

static void watch(void (*on_most)(int))
{
    for (int i = 1; i < MOST_SIGNALS; i++) {
        struct sigaction action = {.sa_handler = is_crash(i) ? end_now : on_most};
        (void)sigemptyset(&action.sa_mask);
        came[i] = 0;
        is_ours[i] = false;
        if (is_harmless(i) || sigaction(i, NULL, &before[i]) != 0) continue;
        /* The terminal's size is of interest, and ends nothing. */
        if (i != SIGWINCH && ((before[i].sa_flags & SA_SIGINFO) || before[i].sa_handler != SIG_DFL)) continue;
        is_ours[i] = sigaction(i, &action, NULL) == 0;
    }
}

static void unwatch(void)
{
    interrupt_exit(NULL);
    for (int i = 1; i < MOST_SIGNALS; i++)
        if (is_ours[i]) (void)sigaction(i, &before[i], NULL);
    memset(is_ours, 0, sizeof is_ours);
    restore_before_end = NULL;
}

void terminal_watch(void (*restore)(void))
{
    (void)tcgetattr(STDIN_FILENO, &cooked);
    restore_before_end = restore;
    watch(on_signal);
    interrupt_exit(restore);
}

void terminal_unwatch(void)
{
    unwatch();
}

int terminal_next_signal(void)
{
    for (int i = 1; i < MOST_SIGNALS; i++)
        if (came[i]) {
            came[i] = 0;
            return i;
        }
    return 0;
}

const struct termios *terminal_before(void)
{
    return &cooked;
}

/* ---- while an answer is written ----------------------------------------------------------------------- */

static void restore_cooked(void)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
}

void terminal_quiet(void)
{
    if (is_quiet || !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, &cooked) != 0)
        return;
    struct termios quiet = cooked;
    quiet.c_cc[VQUIT] = quiet.c_cc[VSUSP] = _POSIX_VDISABLE;
    restore_before_end = restore_cooked;
    watch(end_now);
    interrupt_exit(restore_cooked);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    is_quiet = true;
}

void terminal_unquiet(void)
{
    if (!is_quiet) return;
    restore_cooked();
    unwatch();
    is_quiet = false;
}

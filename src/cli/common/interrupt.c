/* Ctrl-C. */
#include "cli/common/common.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t interrupts, ending;
static void (*volatile before_exit)(void);
static kvasir_engine *volatile interrupt_target;

static void on_interrupt(int signal_number)
{
    if (signal_number == SIGTERM) ending = 1;
    if (++interrupts >= 3) {
        if (before_exit) before_exit();
        _exit(EXIT_STOPPED);
    }
    kvasir_engine *e = interrupt_target;
    if (e) kvasir_cancel(e);
}

void catch_interrupts(void)
{
    /* No SA_RESTART: a read from the terminal is to come back. */
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

void interrupt_engine(kvasir_engine *e)
{
    interrupt_target = e;
}

int interrupted(void)
{
    return interrupts > 0;
}

void clear_interrupt(void)
{
    interrupts = 0;
}

int asked_to_end(void)
{
    return ending;
}

void interrupt_exit(void (*fn)(void))
{
    before_exit = fn;
}

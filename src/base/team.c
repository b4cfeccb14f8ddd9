#include "base/team.h"
#include "base/cores.h"
#include "base/mem.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A waiting thread spins this many rounds, then sleeps in the kernel. Between two regions of one step the wait is
   microseconds; between two requests it may be hours. With more threads than cores a spinning thread keeps the one
   that it waits for from running, so it sleeps almost at once. */
enum { SPIN_ROUNDS = 20000, CROWDED_ROUNDS = 50, CACHE_LINE = 64 };

/* How many tiles of a thread are taken. The upper half of the word is the phase that the count belongs to, the lower
   half the count, so nobody has to reset it. */
typedef struct taken {
    _Alignas(CACHE_LINE) atomic_ullong word;
} taken;

struct team {
    int n, spin_rounds;
    pthread_t *thread;
    taken *taken; /* one per thread */
    void (*fn)(void *arg, int tid);
    void *arg;
    _Alignas(CACHE_LINE) atomic_uint epoch; /* one more for every region */
    _Alignas(CACHE_LINE) atomic_uint phase; /* one more for every completed barrier */
    _Alignas(CACHE_LINE) atomic_int arrived;
    _Alignas(CACHE_LINE) atomic_int tile;
    atomic_int sleepers; /* threads in futex_wait; with none asleep nobody is woken */
    atomic_bool stop;
};

typedef struct start {
    team *t;
    int tid;
} start;

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Changes *word and wakes the threads that sleep on it. No wake-up is lost: a waiter counts itself as a sleeper
   and then looks at the word, while this function changes the word and then looks for sleepers, and these accesses
   are sequentially consistent. */
static void advance(team *t, atomic_uint *word)
{
    atomic_fetch_add(word, 1);
    if (atomic_load(&t->sleepers) > 0) (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* Returns once *word differs from `seen`. */
static void wait_change(team *t, atomic_uint *word, unsigned seen)
{
    for (int i = 0; i < t->spin_rounds; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen) return;
        pause_cpu();
    }
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(word) == seen) (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&t->sleepers, 1);
}

void team_barrier(team *t)
{
    if (t->n == 1) {
        atomic_store_explicit(&t->tile, 0, memory_order_relaxed);
        atomic_store_explicit(&t->phase, atomic_load_explicit(&t->phase, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        return;
    }
    unsigned phase = atomic_load_explicit(&t->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) == t->n - 1) {
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&t->tile, 0, memory_order_relaxed);
        advance(t, &t->phase);
    } else {
        wait_change(t, &t->phase, phase);
    }
}

int team_next(team *t)
{
    return atomic_fetch_add_explicit(&t->tile, 1, memory_order_relaxed);
}

int team_take(team *t, int owner, int n)
{
    const unsigned long long phase = (unsigned long long)atomic_load_explicit(&t->phase, memory_order_relaxed) << 32;
    unsigned long long now = atomic_load_explicit(&t->taken[owner].word, memory_order_relaxed), tile;
    do {
        tile = now >> 32 == phase >> 32 ? now & 0xffffffffu : 0;
        if (tile >= (unsigned long long)n) return -1;
    } while (!atomic_compare_exchange_weak_explicit(&t->taken[owner].word, &now, phase | (tile + 1),
                                                    memory_order_relaxed, memory_order_relaxed));
    return (int)tile;
}

int team_peek(const team *t)
{
    return atomic_load_explicit(&t->tile, memory_order_relaxed);
}

static void *worker(void *p)
{
    start s = *(start *)p;
    unsigned epoch = 0;
    mem_free(p);
    for (;;) {
        wait_change(s.t, &s.t->epoch, epoch);
        epoch++;
        if (atomic_load(&s.t->stop)) return NULL;
        s.t->fn(s.t->arg, s.tid);
        team_barrier(s.t);
    }
}

void team_run(team *t, void (*fn)(void *arg, int tid), void *arg)
{
    t->fn = fn;
    t->arg = arg;
    atomic_store_explicit(&t->tile, 0, memory_order_relaxed);
    if (t->n > 1) advance(t, &t->epoch);
    fn(arg, 0);
    team_barrier(t);
}

kvasir_status team_create(int n, team **out)
{
    if (n < 1 || n > 1024) return fail(KVASIR_E_ARGUMENT, "%d threads: 1 to 1024 are possible", n);
    team *t = aligned_alloc(CACHE_LINE, sizeof *t);
    if (!t) return fail_memory(sizeof *t);
    memset(t, 0, sizeof *t);
    t->n = 1;
    t->spin_rounds = n > cpu_count() ? CROWDED_ROUNDS : SPIN_ROUNDS;
    t->thread = mem_alloc((size_t)n, sizeof *t->thread);
    t->taken = aligned_alloc(CACHE_LINE, (size_t)n * sizeof *t->taken);
    if (!t->thread || !t->taken) {
        team_free(t);
        return fail_memory((size_t)n * (sizeof *t->thread + sizeof *t->taken));
    }
    memset(t->taken, 0, (size_t)n * sizeof *t->taken);
    for (int i = 1; i < n; i++) {
        start *s = mem_alloc(1, sizeof *s);
        if (s) *s = (start){t, i};
        int error = s ? pthread_create(&t->thread[i], NULL, worker, s) : ENOMEM;
        if (error) {
            mem_free(s);
            team_free(t);
            return fail(KVASIR_E_MEMORY, "thread %d of %d could not be started: %s", i + 1, n, strerror(error));
        }
        t->n = i + 1;
    }
    *out = t;
    return KVASIR_OK;
}

void team_free(team *t)
{
    if (!t) return;
    atomic_store(&t->stop, true);
    advance(t, &t->epoch);
    for (int i = 1; i < t->n; i++) (void)pthread_join(t->thread[i], NULL);
    mem_free(t->thread);
    free(t->taken);
    free(t);
}

int team_size(const team *t)
{
    return t->n;
}

/* A mapping is a page that says how long it is, then what the taker sees. Those that are kept are a
 * stack: the one given back last is warm. */
#include "base/block_buffer.h"

#include "base/mutant.h"

#include <pthread.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n)   ((void) (at), (void) (n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void) (at), (void) (n))
#endif

enum { HEAD_BYTES = 4096 }; /* a page */

typedef struct Head {
    struct Head *next;
    gsize room_bytes; /* behind this page */
} Head;

/* Of the whole process, as the heap is. */
static struct {
    pthread_mutex_t lock;
    Head *kept;
    unsigned n_kept, n_taken;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *room_of(Head *head)
{
    return (guint8 *) head + HEAD_BYTES;
}

static Head *map(gsize room_bytes)
{
    Head *head = mmap(NULL, HEAD_BYTES + room_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (head == MAP_FAILED)
        g_error("no memory for a buffer of %zu bytes", room_bytes);
    head->room_bytes = room_bytes;
    return head;
}

static void unmap(Head *head)
{
    ASAN_UNPOISON_MEMORY_REGION(room_of(head), head->room_bytes);
    munmap(head, HEAD_BYTES + head->room_bytes);
}

/* The lock is held. */
static Head *pop_kept(void)
{
    Head *head = pool.kept;
    if (head) {
        pool.kept = head->next;
        pool.n_kept--;
    }
    return head;
}

BlockBuffer *block_buffer_take(gsize n_bytes)
{
    bool usual = n_bytes <= BLOCK_BUFFER_BYTES;
    pthread_mutex_lock(&pool.lock);
    Head *head = usual ? pop_kept() : NULL;
    pool.n_taken++;
    pthread_mutex_unlock(&pool.lock);
    if (!head)
        head = map(usual || MUTANT(block_buffer_short) /* mutant: base_block_buffer */
                       ? BLOCK_BUFFER_BYTES
                       : n_bytes);
    ASAN_POISON_MEMORY_REGION(room_of(head), head->room_bytes);
    ASAN_UNPOISON_MEMORY_REGION(room_of(head), n_bytes);
    return room_of(head);
}

/* The lock is held. */
static bool push_kept(Head *head)
{
    if (head->room_bytes != BLOCK_BUFFER_BYTES ||
        (pool.n_kept >= BLOCK_BUFFERS_KEPT &&
         !MUTANT(block_buffer_keeps_all))) /* mutant: base_block_buffer */
        return false;
    head->next = pool.kept;
    pool.kept = head;
    pool.n_kept++;
    return true;
}

void block_buffer_give(BlockBuffer *buffer)
{
    if (!buffer)
        return;
    Head *head = (Head *) ((guint8 *) buffer - HEAD_BYTES);
    ASAN_POISON_MEMORY_REGION(buffer, head->room_bytes);
    pthread_mutex_lock(&pool.lock);
    bool kept = push_kept(head);
    pool.n_taken--;
    pthread_mutex_unlock(&pool.lock);
    if (!kept)
        unmap(head);
}

void block_buffers_drop(void)
{
    pthread_mutex_lock(&pool.lock);
    for (Head *head; (head = pop_kept());)
        unmap(head);
    pthread_mutex_unlock(&pool.lock);
}

void block_buffers_count(unsigned *n_taken, unsigned *n_kept)
{
    pthread_mutex_lock(&pool.lock);
    *n_taken = pool.n_taken;
    *n_kept = pool.n_kept;
    pthread_mutex_unlock(&pool.lock);
}

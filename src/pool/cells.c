/* A page holds cells of one size and begins with a Page, which is found from a cell by its address:
 * pages are aligned to their own size. What is larger than the largest size gets a page of its own.
 * A page without cells goes back to the system. */
#include "pool/cells.h"

#include "base/mutant.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

enum {
    PAGE_BYTES = 32 << 10,
    FINE_BYTES = 64,   /* sizes are multiples of this up to FINE_MAX */
    FINE_MAX = 512,    /* then eight to each doubling */
    LARGEST = 4 << 10, /* of a size that shares pages */
    N_FINE = FINE_MAX / FINE_BYTES,
    N_SIZES = N_FINE + 3 * 8,
};

typedef struct Page Page;
struct Page {
    Cells *cells;
    Page *next, *prev; /* of the same size, with a free cell */
    void *free;        /* a cell that was freed; its first word is the next one */
    gsize mapped_bytes;
    guint size;     /* which; N_SIZES: a page of its own */
    guint n_used;   /* cells in use */
    guint n_opened; /* cells used at any time: those behind them were never touched */
} __attribute__((aligned(16)));

struct Cells {
    pthread_mutex_t lock;
    gsize n_pages;
    gboolean owned;      /* its maker still has it */
    Page *open[N_SIZES]; /* pages with a free cell */
};

static guint size_of(gsize n)
{
    if (n <= FINE_MAX)
        return n ? (guint) ((n - 1) / FINE_BYTES) : 0;
    guint doubling = (guint) g_bit_storage((n - 1) / FINE_MAX) - 1;
    gsize base = (gsize) FINE_MAX << doubling;
    return N_FINE + doubling * 8 + (guint) ((n - 1 - base) / (base / 8));
}

static gsize bytes_of(guint size)
{
    if (size < N_FINE)
        return (size + 1) * (gsize) FINE_BYTES;
    gsize base = (gsize) FINE_MAX << (size - N_FINE) / 8;
    return base + ((size - N_FINE) % 8 + 1) * (base / 8);
}

static guint capacity(guint size)
{
    return (guint) ((PAGE_BYTES - sizeof(Page)) / bytes_of(size));
}

static Page *page_of(void *cell)
{
    return (Page *) ((guintptr) cell & ~(guintptr) (PAGE_BYTES - 1));
}

/* Aligned to PAGE_BYTES; n is a multiple of it. */
static void *map_aligned(gsize n)
{
    guint8 *at =
        mmap(NULL, n + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        g_error("out of memory: %" G_GSIZE_FORMAT " bytes", n);
    gsize before = (gsize) (-(guintptr) at & (PAGE_BYTES - 1));
    if (before)
        munmap(at, before);
    if (before < PAGE_BYTES)
        munmap(at + before + n, PAGE_BYTES - before);
    return at + before;
}

static Page *page_new(Cells *cells, guint size, gsize n)
{
    Page *page = map_aligned(n);
    page->cells = cells;
    page->size = size;
    page->mapped_bytes = n;
    cells->n_pages++;
    return page;
}

static void link_page(Page *page)
{
    Page **open = &page->cells->open[page->size];
    page->next = *open;
    page->prev = NULL;
    if (*open)
        (*open)->prev = page;
    *open = page;
}

static void unlink_page(Page *page)
{
    if (page->next)
        page->next->prev = page->prev;
    if (page->prev)
        page->prev->next = page->next;
    else
        page->cells->open[page->size] = page->next;
}

/* Freed cells are poisoned, but for the word that links them, so that the address sanitizer (if
 * built with it) sees their misuse. */
#define LINK_BYTES sizeof(void *)
static void poison(Page *page, void *cell)
{
    ASAN_POISON_MEMORY_REGION((guint8 *) cell + LINK_BYTES, bytes_of(page->size) - LINK_BYTES);
}

/* From an open page, which is closed when that was the last. */
static void *take(Page *page)
{
    void *cell = page->free;
    if (cell)
        page->free = *(void **) cell;
    else
        cell = (guint8 *) (page + 1) + page->n_opened++ * bytes_of(page->size);
    ASAN_UNPOISON_MEMORY_REGION(cell, bytes_of(page->size));
    if (++page->n_used == capacity(page->size))
        unlink_page(page);
    return cell;
}

Cells *cells_new(void)
{
    Cells *cells = g_new0(Cells, 1);
    pthread_mutex_init(&cells->lock, NULL);
    cells->owned = TRUE;
    return cells;
}

/* Gives the lock up; frees what nobody needs any more. */
static void unlock(Cells *cells)
{
    gboolean last = !cells->owned && cells->n_pages == 0;
    pthread_mutex_unlock(&cells->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&cells->lock);
    g_free(cells);
}

void cells_unref(Cells *cells)
{
    if (!cells)
        return;
    pthread_mutex_lock(&cells->lock);
    cells->owned = FALSE;
    unlock(cells);
}

static void *cell_large(Cells *cells, gsize n)
{
    gsize bytes = (n + sizeof(Page) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    Page *page = page_new(cells, N_SIZES, bytes);
    return page + 1;
}

void *cell_new(Cells *cells, gsize n)
{
    pthread_mutex_lock(&cells->lock);
    void *cell;
    if (n > LARGEST) {
        cell = cell_large(cells, n);
    } else {
        guint size = size_of(n);
        if (!cells->open[size])
            link_page(page_new(cells, size, PAGE_BYTES));
        cell = take(cells->open[size]);
    }
    pthread_mutex_unlock(&cells->lock);
    return cell;
}

static void page_drop(Page *page)
{
    page->cells->n_pages--;
    ASAN_UNPOISON_MEMORY_REGION(page, page->mapped_bytes);
    munmap(page, page->mapped_bytes);
}

static void give(Page *page, void *cell)
{
    if (page->n_used == capacity(page->size))
        link_page(page);
    *(void **) cell = page->free;
    page->free = cell;
    poison(page, cell);
    page->n_used--;
    if (page->n_used == 0 && !MUTANT(cells_keep_pages)) { /* mutant: pool_cells */
        unlink_page(page);
        page_drop(page);
    }
}

void cell_free(void *cell)
{
    if (!cell)
        return;
    Page *page = page_of(cell);
    Cells *cells = page->cells;
    pthread_mutex_lock(&cells->lock);
    if (page->size == N_SIZES)
        page_drop(page);
    else
        give(page, cell);
    unlock(cells);
}

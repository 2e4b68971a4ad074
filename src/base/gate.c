/* Who may say no before something begins. Keepers are added at start, before anybody asks. */
#include "base/gate.h"

typedef struct {
    GateKeeper keeper;
    void *user;
} Post;

struct Gate {
    GArray *posts;
};

Gate *gate_new(void)
{
    Gate *gate = g_new0(Gate, 1);
    gate->posts = g_array_new(FALSE, FALSE, sizeof(Post));
    return gate;
}

void gate_free(Gate *gate)
{
    if (!gate)
        return;
    g_array_unref(gate->posts);
    g_free(gate);
}

void gate_add(Gate *gate, GateKeeper keeper, void *user)
{
    Post post = { keeper, user };
    g_array_append_val(gate->posts, post);
}

GateAnswer gate_ask(Gate *gate, const char *question, json_t *about, unsigned *delay_ms,
                    GError **error)
{
    for (guint i = 0; gate && i < gate->posts->len; i++) {
        Post *post = &g_array_index(gate->posts, Post, i);
        GateAnswer answer = post->keeper(question, about, delay_ms, post->user, error);
        if (answer != GATE_GO)
            return answer;
    }
    return GATE_GO;
}

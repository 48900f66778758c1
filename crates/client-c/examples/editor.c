/* An editor that activates itself: it opens the machine's folder, installs its setup key, and asks a host. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "quorate_client.h"

enum { TRUST_BYTES_MAX = 1 << 20 };

/* A product has this text built in: a file can be exchanged. NULL where it cannot be read. */
static char *read_trust(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(TRUST_BYTES_MAX + 1, 1);
    size_t bytes = file && text ? fread(text, 1, TRUST_BYTES_MAX, file) : 0;
    if (file)
        fclose(file);
    if (bytes > 0)
        return text;
    free(text);
    return NULL;
}

static const char *words(QuorateState state)
{
    switch (state) {
    case QUORATE_STATE_UNLICENSED: return "has no key";
    case QUORATE_STATE_OUT_OF_BOX_GRACE: return "is not activated yet";
    case QUORATE_STATE_LICENSED: return "is licensed";
    case QUORATE_STATE_OUT_OF_TOLERANCE_GRACE: return "is to be activated again";
    case QUORATE_STATE_NOTIFICATION: return "is not licensed";
    }
    return "is in a state that this editor does not know";
}

static int complain(const char *what, const QuorateError *error)
{
    fprintf(stderr, "%s: %s", what, error->message);
    if (error->status != 0)
        fprintf(stderr, " (0x%08" PRIX32 ")", error->status);
    fprintf(stderr, "\n%s%s", error->advice, error->advice[0] ? "\n" : "");
    return EXIT_FAILURE;
}

static int run(QuorateClient *client, const char *key, const char *host)
{
    QuorateError error;
    QuorateStatus status;

    if (quorate_client_install_key(client, key, NULL, &error) != QUORATE_RESULT_DONE)
        return complain("the key", &error);
    if (host && quorate_client_set_host(client, host, &error) != QUORATE_RESULT_DONE)
        return complain("the host", &error);
    if (quorate_client_status(client, &status, &error) != QUORATE_RESULT_DONE)
        return complain("the state", &error);
    /* Here at each start; while the editor runs, whenever seconds_to_next_attempt have passed. */
    if (status.state != QUORATE_STATE_LICENSED || status.seconds_to_next_attempt == 0) {
        if (quorate_client_activate(client, &error) != QUORATE_RESULT_DONE)
            complain("not activated", &error);
        if (quorate_client_status(client, &status, &error) != QUORATE_RESULT_DONE)
            return complain("the state", &error);
    }
    printf("%s %s", status.product, words(status.state));
    if (status.minutes_left >= 0)
        printf(", %" PRId64 " days left", (status.minutes_left + 1439) / 1440);
    printf(", asks again in %" PRId64 " hours\n", (status.seconds_to_next_attempt + 3599) / 3600);
    return status.state == QUORATE_STATE_LICENSED ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    QuorateError error;

    if (argc < 4) {
        fprintf(stderr, "usage: %s FOLDER TRUST-FILE SETUP-KEY [HOST[:PORT]]\n", argv[0]);
        return 2;
    }
    char *trust = read_trust(argv[2]);
    if (!trust) {
        fprintf(stderr, "%s cannot be read\n", argv[2]);
        return 2;
    }
    QuorateClient *client = quorate_client_open(argv[1], trust, &error);
    free(trust);
    if (!client)
        return complain("the folder", &error);
    int code = run(client, argv[3], argc > 4 ? argv[4] : NULL);
    quorate_client_free(client);
    return code;
}

/* The client of activation hosts. Made by cbindgen from crates/client-c/src: change it there. */

#ifndef QUORATE_CLIENT_H
#define QUORATE_CLIENT_H

#include <stdint.h>

// Of QuorateError's message.
#define QUORATE_MESSAGE_BYTES 1024

// Of QuorateError's advice.
#define QUORATE_ADVICE_BYTES 256

// Of a product's name.
#define QUORATE_PRODUCT_BYTES 64

// Of a CMID.
#define QUORATE_CMID_BYTES 37

// Of a host with its port.
#define QUORATE_HOST_BYTES 264

// Of a status in words.
#define QUORATE_WORDS_BYTES 128

// What a call came to.
typedef enum QuorateResult {
  // It did what it is for.
  QUORATE_RESULT_DONE = 0,
  // No host gave the answer that activates: none was reached, all refused, or the count is below the threshold. A
  // licence that was there before stays.
  QUORATE_RESULT_NOT_ACTIVATED = 1,
  // An argument is missing or not what it has to be: a mistake of the program.
  QUORATE_RESULT_ARGUMENT = 2,
  // The key is mistyped, or for something else.
  QUORATE_RESULT_KEY_REFUSED = 3,
  // This account may not use the folder.
  QUORATE_RESULT_DENIED = 4,
  // Another process uses the folder at this moment: call again.
  QUORATE_RESULT_BUSY = 5,
  // What the folder holds cannot be read, or not be kept: damaged, of a newer version, a full disk.
  QUORATE_RESULT_FOLDER = 6,
  // A mistake of this library, or a system without randomness or sockets. The handle is only to be freed.
  QUORATE_RESULT_INTERNAL = 7,
} QuorateResult;

// What the machine may run as.
typedef enum QuorateState {
  // No key is installed.
  QUORATE_STATE_UNLICENSED = 0,
  // The first 30 days.
  QUORATE_STATE_OUT_OF_BOX_GRACE = 1,
  // Up to 180 days from the last answer.
  QUORATE_STATE_LICENSED = 2,
  // 30 days to be activated again: the hardware changed.
  QUORATE_STATE_OUT_OF_TOLERANCE_GRACE = 3,
  // The grace or the licence is over: tell the user, and go on asking.
  QUORATE_STATE_NOTIFICATION = 4,
} QuorateState;

// How the host that is asked first is found.
typedef enum QuorateFoundBy {
  // It was set.
  QUORATE_FOUND_BY_FIXED = 0,
  // It answered the last time.
  QUORATE_FOUND_BY_CACHE = 1,
  // DNS names it.
  QUORATE_FOUND_BY_SRV = 2,
} QuorateFoundBy;

// One machine with one product: what quorate_client_open gives.
//
// Any thread may use it; calls on one handle wait for each other. A program that shows how the machine stands while a
// host is asked opens the folder twice.
typedef struct QuorateClient QuorateClient;

// Why a call did not do what it was to do. Where a call succeeds it is emptied.
typedef struct QuorateError {
  // What the call returned; of quorate_client_open, what it would return.
  enum QuorateResult result;
  // The code that administrators know (an HRESULT, such as 0xC004F074); 0 where there is none.
  uint32_t status;
  // What happened, for people: UTF-8, zero-terminated.
  char message[QUORATE_MESSAGE_BYTES];
  // The next step, as a sentence; empty where the message says it.
  char advice[QUORATE_ADVICE_BYTES];
} QuorateError;

// How the machine stands. Texts are UTF-8 and zero-terminated.
typedef struct QuorateStatus {
  enum QuorateState state;
  // Of the host that is asked first.
  enum QuorateFoundBy found_by;
  // Until the state ends by itself; -1 where it does not.
  int64_t minutes_left;
  // Until quorate_client_activate is to be called; 0: now; -1: hosts are not asked.
  int64_t seconds_to_next_attempt;
  // What the last attempt came to, an HRESULT; -1 before the first one.
  int64_t last_status;
  // How often the timers may still be set anew.
  uint32_t rearms_left;
  // last_status in words; empty before the first attempt.
  char last_words[QUORATE_WORDS_BYTES];
  // The product of the installed key, by its name in the catalog; empty where there is none.
  char product[QUORATE_PRODUCT_BYTES];
  // The machine's id at the hosts.
  char cmid[QUORATE_CMID_BYTES];
  // The host that is asked first, HOST:PORT; empty where DNS is asked.
  char host[QUORATE_HOST_BYTES];
} QuorateStatus;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens the machine's folder. At first use it is made, with an id of its own, and 30 days of grace begin.
//
// `folder` is a path; programs may share it, with `quorate client` too. `trust` is the text of the publisher's trust file,
// not its path: build it into the program, so that nobody puts another publisher in its place. `error` may be NULL, here
// and below.
//
// NULL where it fails. The handle is given back with quorate_client_free.
//
// # Safety
//
// `folder` and `trust` are NULL or zero-terminated; `error` is NULL or points to a QuorateError, which need not be
// initialised.
struct QuorateClient *quorate_client_open(const char *folder,
                                          const char *trust,
                                          struct QuorateError *error);

// Installs the product's setup key: the machine asks hosts from now on. The same key again changes nothing.
//
// `product` may be NULL: a setup key says which product it is for. Only a direct key needs it, by its name in the
// publisher's catalog, where no setup key was installed before.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `key` and `product` are NULL or zero-terminated; `error` is NULL or
// points to a QuorateError.
enum QuorateResult quorate_client_install_key(const struct QuorateClient *client,
                                              const char *key,
                                              const char *product,
                                              struct QuorateError *error);

// Asks only this host from now on, `HOST[:PORT]`: a name or an address, IPv6 in brackets. NULL: hosts are looked for in
// DNS again, as without this call. It is kept in the folder.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `host` is NULL or zero-terminated; `error` is NULL or points to a
// QuorateError.
enum QuorateResult quorate_client_set_host(const struct QuorateClient *client,
                                           const char *host,
                                           struct QuorateError *error);

// Asks now: the hosts in turn, until one gives an answer that counts. It waits for them, some seconds for each that is
// silent, so a program with windows calls it in a thread of its own.
//
// QUORATE_RESULT_DONE: the machine is licensed for 180 days from now. QUORATE_RESULT_NOT_ACTIVATED: `error` says why; a
// licence that was there before stays.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `error` is NULL or points to a QuorateError.
enum QuorateResult quorate_client_activate(const struct QuorateClient *client, struct QuorateError *error);

// How the machine stands now. It asks nobody.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `status` points to a QuorateStatus and `error` to a QuorateError, or
// they are NULL. Neither need be initialised. Where the call fails, `status` is as it was.
enum QuorateResult quorate_client_status(const struct QuorateClient *client,
                                         struct QuorateStatus *status,
                                         struct QuorateError *error);

// Gives the handle back. What it stands for stays in its folder. NULL is nothing to give back.
//
// # Safety
//
// `client` is NULL or a handle that was not freed, and no other call is under way with it.
void quorate_client_free(struct QuorateClient *client);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUORATE_CLIENT_H */

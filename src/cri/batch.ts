/** Cutting a list into the messages of a Stream* reply. */

/** Items in one message: a few hundred KiB at most, far below what clients accept. */
export const BATCH_SIZE = 256;

/** Each item once, in order; no message is empty, so an empty list gives none. */
export function* batches<Item, Message>(
  items: readonly Item[],
  message: (item: Item) => Message,
): Generator<Message[]> {
  for (let start = 0; start < items.length; start += BATCH_SIZE)
    yield items.slice(start, start + BATCH_SIZE).map(message);
}

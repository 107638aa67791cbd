// What the checker cannot see in the widgets' modules.
declare module "worker:*" {
  const text: string;
  export default text;
}

interface Window {
  ddpmWidgets: {
    kit: typeof import("../ddpm_lite/viz/js/shared/kit.js");
    define: (name: string, widget: any) => void;
    file?: (name: string, sum: number, text: string) => void;
  };
  ddpmDraw: (front: any) => Promise<void>;
  ddpmServe: typeof import("../ddpm_lite/viz/js/shared/serve.js").serve;
  ddpmTeach: (post: (message: any) => void, slice: number) => (message: any) => void;
  ddpmTeachSet: Window["ddpmTeach"];
  ddpmDerive: {
    (event: Event): Promise<void>;
    add: (lessons: any) => void;
    ready: () => Promise<void>;
    formula: (tex: string, large?: boolean) => HTMLElement;
    help: string;
    keys: (used: string[], input: HTMLInputElement, show: () => void) => HTMLElement;
    prepare: typeof import("../ddpm_lite/viz/js/shared/judge.js").prepare;
    preview: (input: HTMLInputElement, preview: HTMLElement) => () => void;
    sentence: (text: string) => (Node | string)[];
  };
  ddpmChecks: Record<string, any>;
  katex: { render: (tex: string, element: HTMLElement, options: { throwOnError: boolean }) => void };
}

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
  ddpmDraw: Pick<typeof import("../ddpm_lite/viz/js/shared/unet.js"), "drawing" | "network">;
  ddpmDerive: { (event: Event): Promise<void>; add: (lessons: any) => void };
  katex: { render: (tex: string, element: HTMLElement, options: { throwOnError: boolean }) => void };
}
